// An OpenID provider: node server.mjs <folder of the package> <port> <file of its private keys>.
// Whoever asks it for a token says what the token is to claim; it is for tests.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [folder, port, keys] = process.argv.slice(2);
const path = createRequire(`${folder}/`).resolve("oidc-provider");
const { default: Provider } = await import(pathToFileURL(path));
const issuer = `http://localhost:${port}`;

const said = (ctx) => JSON.parse(ctx.oidc.body.said ?? "{}");

const provider = new Provider(issuer, {
  jwks: JSON.parse(readFileSync(keys, "utf8")),
  clients: [
    {
      client_id: "practice",
      client_secret: "not-a-secret-of-anybody",
      grant_types: ["client_credentials", "authorization_code"],
      redirect_uris: ["https://practice.example.com/back"],
    },
  ],
  ttl: { ClientCredentials: 600 },
  extraTokenClaims: (ctx) => said(ctx).claims,
  formats: {
    customizers: {
      jwt(ctx, _, token) {
        Object.assign(token.payload, said(ctx).subject && { sub: said(ctx).subject });
      },
    },
  },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (ctx, audience) => ({
        audience,
        scope: "",
        accessTokenFormat: said(ctx).format ?? "jwt",
        jwt: { sign: { alg: said(ctx).algorithm ?? "RS256" } },
      }),
    },
  },
});

provider.listen(port, "127.0.0.1", () => console.log(`serves ${issuer}`));
