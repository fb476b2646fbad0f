// Runs subscriptions with the npm client that is named, and prints what it hears, a line of JSON each.
import { createRequire } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";

const [folder, kind, url, query, variables] = process.argv.slice(2);
const load = createRequire(join(folder, "node_modules", "_.js"));
const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);
const question = { query, variables: JSON.parse(variables) };
const sink = {
  next: (answer) => say({ next: answer }),
  error: (error) => say({ error: Array.isArray(error) ? error : String(error) }),
  complete: () => say({ complete: true }),
};

let client;
if (kind === "graphql-ws") {
  client = load("graphql-ws").createClient({
    url: url.replace("http", "ws"),
    webSocketImpl: load("ws"),
    retryAttempts: 600,
    retryWait: () => new Promise((resolve) => setTimeout(resolve, 100)),
    shouldRetry: () => true,
    on: { connected: () => say({ connected: true }) },
  });
} else {
  client = load("graphql-sse").createClient({
    url,
    retryAttempts: 600,
    retry: () => new Promise((resolve) => setTimeout(resolve, 100)),
    on: { connected: () => say({ connected: true }) },
  });
}

client.subscribe({ query: "{ serverTime }" }, {
  ...sink,
  complete: () => {
    sink.complete();
    const stop = client.subscribe(question, sink);
    // A line on our input ends the subscription as a client does; the end of it ends us.
    createInterface({ input: process.stdin }).on("line", stop).on("close", () => process.exit(0));
  },
});
