// Express with express-session and connect-redis, in a cluster on one unix socket.
// REDIS_URL (unix://path?db=n), BIND (a path), WORKERS, SECRET, LIFETIME (seconds), CATALOG (a path).
import cluster from "node:cluster";
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import express from "express";
import session from "express-session";
import { RedisStore } from "connect-redis";
import { createClient } from "redis";

const MOST_PER_LINE = 99;
const GATE_SECONDS = 15;

class Refused extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status;
  }
}

function add(session, sku, qty) {
  const lines = (session.cart ??= {});
  const now = (lines[sku] ?? 0) + qty;
  if (now > MOST_PER_LINE) {
    throw new Refused(409, `a line holds at most ${MOST_PER_LINE} of '${sku}'`);
  }
  lines[sku] = now;
}

async function createApp() {
  const products = new Map(Object.entries(JSON.parse(readFileSync(process.env.CATALOG))));
  const url = new URL(process.env.REDIS_URL.replace(/^unix:/, "file:"));
  const options = {
    socket: { path: url.pathname },
    database: Number(url.searchParams.get("db") ?? 0),
  };
  const client = createClient(options);
  client.on("error", (error) => console.error(error));
  await client.connect();

  const shown = (lines = {}) => {
    const items = Object.keys(lines).sort()
      .map((sku) => ({ sku, qty: lines[sku], ...products.get(sku) }));
    return {
      items,
      count: items.reduce((sum, item) => sum + item.qty, 0),
      total_cents: items.reduce((sum, item) => sum + item.qty * item.price_cents, 0),
    };
  };
  const json = [express.json(), (request, _, next) => {
    if (!request.is("application/json")) throw new Refused(415, "this call takes application/json");
    if (Array.isArray(request.body)) throw new Refused(400, "the body must be a JSON object");
    next();
  }];

  const app = express();
  app.set("trust proxy", 1);
  app.disable("x-powered-by");
  app.use(session({
    store: new RedisStore({ client }),
    secret: process.env.SECRET,
    resave: false,
    saveUninitialized: false,
    cookie: { sameSite: "lax", maxAge: Number(process.env.LIFETIME) * 1000 },
  }));
  app.get("/api/cart", (request, response) => response.json(shown(request.session.cart)));
  app.post("/api/cart/items", json, (request, response) => {
    const { sku, qty = 1 } = request.body;
    if (!Number.isInteger(qty) || qty < 1 || qty > MOST_PER_LINE) {
      throw new Refused(422, `qty must be an integer from 1 to ${MOST_PER_LINE}`);
    }
    if (typeof sku !== "string") throw new Refused(422, "sku must be a string");
    if (!products.has(sku)) throw new Refused(404, `no product has the sku '${sku}'`);
    add(request.session, sku, qty);
    response.json(shown(request.session.cart));
  });
  app.post("/api/login", json, (request, response, next) => {
    const { cart } = request.session;
    request.session.regenerate((error) => {
      if (error) return next(error);
      request.session.cart = cart;
      request.session.user = request.body.username;
      request.session.save(async (failed) => {
        if (failed) return next(failed);
        await client.sAdd(`sessions of ${request.session.user}`, request.sessionID);
        response.json({ user: request.session.user });
      });
    });
  });
  app.post("/api/logout", (request, response, next) => {
    request.session.destroy((error) => (error ? next(error) : response.status(204).end()));
  });
  app.get("/api/session", (request, response) =>
    response.json({ user: request.session.user ?? null }));
  app.post("/api/revoke", json, async (request, response) => {
    const { username } = request.body;
    for (const id of await client.sMembers(`sessions of ${username}`)) {
      await new Promise((done) => request.sessionStore.destroy(id, done));
    }
    response.status(204).end();
  });
  app.get("/oauth/start", (request, response) => {
    request.session.oauthState = randomUUID();
    response.json({ state: request.session.oauthState });
  });
  app.get("/oauth/callback", (request, response) => {
    const { oauthState } = request.session;
    delete request.session.oauthState;
    if (oauthState !== request.query.state) {
      throw new Refused(400, "the state is not the one that this session began with");
    }
    response.json({});
  });
  // Adds to the cart once the session was read and the driver has opened the gate.
  app.post("/late/:gate", async (request, response) => {
    const gate = client.duplicate();
    await gate.connect();
    await gate.rPush(`held:${request.params.gate}`, "1");
    await gate.blPop(`go:${request.params.gate}`, GATE_SECONDS);
    await gate.close();
    add(request.session, "milk", 1);
    response.json(shown(request.session.cart));
  });
  app.use((error, _request, response, _next) => {
    response.status(error.status ?? 500).json({ status: error.status ?? 500, detail: error.message });
  });
  return app;
}

if (cluster.isPrimary) {
  for (let number = 0; number < Number(process.env.WORKERS); number += 1) cluster.fork();
  cluster.on("exit", () => process.exit(1));
  process.on("SIGTERM", () => process.exit(0));
} else {
  (await createApp()).listen(process.env.BIND);
}
