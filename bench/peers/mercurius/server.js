// Mercurius with its JIT and a loader for the provider; one process for each of WORKERS.
//
// What is free is READ_SQL, the statement of the bench, with the provider as $1 and the size as $2.
import cluster from "node:cluster";
import Fastify from "fastify";
import mercurius from "mercurius";
import pg from "pg";

const schema = `
  type Provider { id: ID! firstName: String! lastName: String! }
  type Appointment { id: ID! startsAt: String! endsAt: String! provider: Provider! }
  type Appointments { nodes: [Appointment!]! }
  type Query { availableAppointments(provider: ID!, first: Int!): Appointments! }
`;
const providers = {
  name: "providers",
  text: 'SELECT id, first_name AS "firstName", last_name AS "lastName" FROM providers WHERE business_id = $1 AND id = ANY($2::uuid[])',
};

const workers = Number(process.env.WORKERS);
if (cluster.isPrimary && workers > 1) {
  for (let n = 0; n < workers; n++) cluster.fork();
} else {
  const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL, max: 8, options: "-c timezone=UTC -c jit=off" });
  const resolvers = {
    Query: {
      async availableAppointments(_, { provider, first }) {
        const { rows } = await pool.query({ name: "free", text: process.env.READ_SQL, values: [provider, first] });
        return { nodes: rows };
      },
    },
    Appointment: {
      startsAt: ({ starts_at }) => starts_at.toISOString(),
      endsAt: ({ ends_at }) => ends_at.toISOString(),
    },
  };
  const loaders = {
    Appointment: {
      async provider(queries) {
        const ids = [...new Set(queries.map(({ obj }) => obj.provider_id))];
        const { rows } = await pool.query({ ...providers, values: [process.env.BUSINESS, ids] });
        const found = new Map(rows.map((row) => [row.id, row]));
        return queries.map(({ obj }) => found.get(obj.provider_id));
      },
    },
  };
  const app = Fastify();
  app.register(mercurius, { schema, resolvers, loaders, jit: 1 });
  await app.listen({ port: Number(process.env.PORT), host: "127.0.0.1" });
}
