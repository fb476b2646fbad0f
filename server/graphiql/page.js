// Starts GraphiQL on our own endpoint, with operations to try and a place for a token; nothing here leaves this origin.
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
  const send = GraphiQL.createFetcher({ url: url.href, subscriptionUrl: socket.href });

  // Another GraphiQL on the same port of localhost keeps its own tabs.
  const storage = GraphiQL.createLocalStorage({ namespace: "holdfast" });
  const keep = storage.setItem;
  // The history would keep the headers of each request, and so whatever token somebody wrote there.
  storage.setItem = (name, value) => {
    const isHistory = /:(queries|favorites)$/.test(name);
    const without = (key, part) => (key === "headers" ? undefined : part);
    keep(name, isHistory ? JSON.stringify(JSON.parse(value), without) : value);
  };

  const operations = await fetch("/graphiql/default.graphql");
  const properties = {
    defaultTabs: operations.ok ? [{ query: await operations.text() }] : undefined,
    defaultQuery: "",
    isHeadersEditorEnabled: true,
    shouldPersistHeaders: false,
    plugins: [{ ...explorer, content: ExplorerFromItsTop }],
    storage,
  };

  const root = ReactDOM.createRoot(document.getElementById("graphiql"));
  const bar = document.getElementById("bar");
  const field = document.getElementById("token");
  const reveal = document.getElementById("reveal");
  const viewer = document.getElementById("viewer");
  const kept = "holdfast:token";
  let written = "";
  let token = "";
  let asked = 0;

  function authorized(headers = {}) {
    const isNamed = Object.keys(headers).some((name) => name.toLowerCase() === "authorization");
    return isNamed || !token ? headers : { ...headers, Authorization: `Bearer ${token}` };
  }

  // GraphiQL fetches the schema again whenever its fetcher is a new one.
  function render() {
    const fetcher = (question, options) => send(question, { ...options, headers: authorized(options?.headers) });
    const logo = element(GraphiQL.Logo, null, "Holdfast");
    root.render(element(GraphiQL, { ...properties, fetcher }, logo));
  }

  function tell(state, sentence) {
    viewer.dataset.state = state;
    viewer.textContent = sentence;
    viewer.title = sentence;
  }

  async function who() {
    let response;
    try {
      response = await fetch(url, {
        method: "POST",
        headers: authorized({ Accept: "application/json", "Content-Type": "application/json" }),
        body: JSON.stringify({ query: "{ viewer { principal role } }" }),
      });
    } catch {
      return ["refused", "The server is out of reach."];
    }
    const answer = await response.json().catch(() => null);
    if (answer?.errors?.length) return ["refused", answer.errors[0].message];
    if (!answer?.data) return ["refused", `The server answered with status ${response.status}.`];
    const found = answer.data.viewer;
    return found ? ["known", `${found.principal} as ${found.role}`] : ["unknown", "Nobody: there is no identity."];
  }

  async function ask() {
    const turn = ++asked;
    tell("asking", "Asking who you are …");
    const told = await who();
    if (turn === asked) tell(...told);
  }

  const writtenNow = () => field.value.trim().replace(/^(authorization:\s*)?bearer(\s+|$)/i, "");

  function take() {
    written = writtenNow();
    // What else a header cannot carry, or no token has, would make every request fail.
    const isSound = /^[\x21-\x7e]*$/.test(written);
    token = isSound ? written : "";
    field.setAttribute("aria-invalid", String(!isSound));
    if (token) sessionStorage.setItem(kept, token);
    else sessionStorage.removeItem(kept);
    render();
    if (isSound) {
      field.value = token;
      ask();
    } else {
      asked += 1;
      tell("refused", "A token has only plain letters, digits and signs, and no spaces. None is sent.");
    }
  }

  field.addEventListener("change", () => {
    if (writtenNow() !== written) take();
  });
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter") take();
  });
  reveal.addEventListener("click", () => {
    const isHidden = field.type === "password";
    field.type = isHidden ? "text" : "password";
    reveal.textContent = isHidden ? "Hide" : "Show";
    reveal.ariaLabel = `${reveal.textContent} token`;
  });

  field.value = sessionStorage.getItem(kept) ?? "";
  bar.hidden = false;
  take();
})();
