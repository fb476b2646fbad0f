// Starts GraphiQL on our own endpoint, with operations to try; nothing here leaves this origin.
(async () => {
  const element = React.createElement;
  const explorer = GraphiQLPluginExplorer.explorerPlugin();

  // The explorer focuses each argument as it appears, so it would open at its end.
  function ExplorerFromItsTop() {
    React.useEffect(() => {
      document.activeElement.blur();
      for (const part of document.querySelectorAll(".graphiql-plugin, .graphiql-explorer-root > div")) {
        part.scrollTo(0, 0);
      }
    }, []);
    return element(explorer.content);
  }

  const url = new URL("/graphql", location.origin);
  const socket = new URL(url);
  socket.protocol = url.protocol.replace("http", "ws");

  const operations = await fetch("/graphiql/default.graphql");
  const properties = {
    fetcher: GraphiQL.createFetcher({ url: url.href, subscriptionUrl: socket.href }),
    defaultTabs: operations.ok ? [{ query: await operations.text() }] : undefined,
    defaultQuery: "",
    isHeadersEditorEnabled: true,
    plugins: [{ ...explorer, content: ExplorerFromItsTop }],
    // Another GraphiQL on the same port of localhost keeps its own tabs.
    storage: GraphiQL.createLocalStorage({ namespace: "holdfast" }),
  };
  const page = element(GraphiQL, properties, element(GraphiQL.Logo, null, "Holdfast"));
  ReactDOM.createRoot(document.getElementById("graphiql")).render(page);
})();
