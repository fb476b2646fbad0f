// Asks a server as an application does that persists its documents: node client.mjs <folder of the packages> <wishes>.
// A wish is {url, document, times, get, accept}; told is what each answer was, and what went over the wire for it.

import { createHash } from "node:crypto";
import { createRequire } from "node:module";

const [folder, wishes] = process.argv.slice(2);
const require = createRequire(`${folder}/`);
const { ApolloClient, HttpLink, InMemoryCache, gql } = require("@apollo/client");
const { PersistedQueryLink } = require("@apollo/client/link/persisted-queries");

const sha256 = (text) => createHash("sha256").update(text).digest("hex");

function client({ url, get, accept }, wire) {
  const watched = async (address, options) => {
    const response = await fetch(address, options);
    const asked = options.body ? JSON.parse(options.body) : Object.fromEntries(new URL(address).searchParams);
    const { errors } = await response.clone().json();
    const code = errors?.[0].extensions.code ?? null;
    wire.push({ method: options.method, query: asked.query ?? null, status: response.status, code });
    return response;
  };
  const persisted = new PersistedQueryLink({ sha256, useGETForHashedQueries: get });
  const link = persisted.concat(new HttpLink({ uri: url, fetch: watched, headers: accept ? { accept } : {} }));
  return new ApolloClient({ cache: new InMemoryCache(), link });
}

async function asked(wish) {
  const wire = [];
  const answers = [];
  const asking = client(wish, wire);
  const document = gql(wish.document);
  const isMutation = document.definitions[0].operation === "mutation";
  for (let time = 0; time < wish.times; time += 1) {
    try {
      const done = isMutation
        ? await asking.mutate({ mutation: document })
        : await asking.query({ query: document, fetchPolicy: "network-only" });
      answers.push(done.data);
    } catch (error) {
      answers.push(error.message);
    }
  }
  return { answers, wire };
}

const told = [];
for (const wish of JSON.parse(wishes)) told.push(await asked(wish));
console.log(JSON.stringify(told));
