// Asks a server the audits of GraphQL over HTTP: node audits.mjs <folder of the package> <address of the server>.

import { createRequire } from "node:module";

const [folder, url] = process.argv.slice(2);
const { auditServer } = createRequire(`${folder}/`)("graphql-http");

const results = await auditServer({ url });
const told = await Promise.all(
  results.map(async ({ status, id, name, reason, response }) => ({
    status,
    name: `${id} ${name}`,
    reason,
    answer: response && `${response.status} ${await response.clone().text().catch(String)}`,
  })),
);
console.log(JSON.stringify(told));
