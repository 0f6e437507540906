// A producer and waiter, and somebody who means harm, written from docs/wire-format.md alone.
//
// It takes one JSON object on stdin, {url, seed, name, api, installation, workers, mode, …}, and prints one.

import { createHash, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { connect, headers, nkeyAuthenticator, nkeys } from "nats";
import { decode, encode } from "@msgpack/msgpack";

const text = new TextEncoder();
const ask = JSON.parse(readFileSync(0, "utf8"));
const pair = nkeys.fromSeed(text.encode(ask.seed));

// Section 1: names, the owner token, IDs.

const base32 = "abcdefghijklmnopqrstuvwxyz234567";

function ownerOf(realm, id) {
  if (realm === "" && id === "") return "anon";
  const sum = createHash("sha256").update(realm).update(Buffer.from([0])).update(id).digest();
  let bits = 0n;
  for (const b of sum.subarray(0, 10)) bits = (bits << 8n) | BigInt(b);
  let out = "";
  for (let i = 75n; i >= 0n; i -= 5n) out += base32[Number((bits >> i) & 31n)];
  return out;
}

const newID = () => randomBytes(16).toString("hex");

// Section 4: an envelope.

function envelope({ id, user, task, input, queue = "default", lane = "default", installation = ask.installation }) {
  return encode({
    v: 1, ns: installation, id, q: queue, l: lane, u: user, t: task,
    i: [0, encode(input)], at: Date.now() * 1000,
  });
}

// Section 8: signatures.

function statement(subject, time, body, origin = "") {
  const hash = createHash("sha256").update(body).digest("hex");
  return text.encode(["natsasync 1", ask.installation, subject, String(time), hash, origin].join("\n"));
}

function sign(subject, body) {
  const time = Date.now() * 1000;
  const sig = Buffer.from(pair.sign(statement(subject, time, body))).toString("base64url");
  const h = headers();
  h.set("Async-Signature", `${pair.getPublicKey()} ${time} ${sig}`);
  return h;
}

function proved(subject, body, h) {
  const values = h?.values("Async-Signature") ?? [];
  if (values.length !== 1) return false;
  const [key, time, sig] = values[0].split(" ");
  if (!ask.workers.includes(key)) return false;
  return nkeys.fromPublic(key).verify(statement(subject, time, body), Buffer.from(sig, "base64url"));
}

const nc = await connect({
  servers: ask.url, inboxPrefix: `_INBOX_${ask.name}`,
  authenticator: nkeyAuthenticator(text.encode(ask.seed)),
});

// Section 5: a producer.

async function publish(subject, body, h) {
  const answer = JSON.parse((await nc.request(subject, body, { headers: h, timeout: 5000 })).string());
  if (answer.error) throw new Error(answer.error.description);
  return answer;
}

// Section 6: a waiter. What the server repeats proves itself by its signature; what was there before is read.

async function outcome(queue, owner, id) {
  const announced = nc.subscribe(`natsasync.record.${queue}.*.${owner}.${id}`);
  await nc.flush();
  const read = async () => {
    const m = await nc.request(`${ask.api}.DIRECT.GET.NATSASYNC_OUTCOMES.natsasync.outcome.${queue}.*.${owner}.${id}`, undefined, { timeout: 5000 });
    return m.headers?.code === 404 ? undefined : { subject: m.headers.get("Nats-Subject"), data: m.data, headers: m.headers };
  };
  const ended = (m) => {
    const [, , , kind] = m.subject.split(".");
    if (kind === "claimed" || !proved(m.subject, m.data, m.headers)) return undefined;
    const r = decode(m.data);
    return r.id === id && r.e === kind ? r : undefined;
  };
  let found = await read();
  if (found && ended(found)) return ended(found);
  for await (const m of announced) {
    const r = ended({ subject: m.subject.replace(/^natsasync\.record\./, "natsasync.outcome."), data: m.data, headers: m.headers });
    if (r) return r;
  }
}

const done = {
  // job queues one and waits for it.
  async job() {
    const owner = ownerOf(...ask.user);
    const id = newID();
    const subject = `natsasync.job.default.default.${owner}.${id}`;
    const body = envelope({ id, user: ask.user, task: ask.task, input: ask.input });
    const ack = await publish(subject, body, sign(subject, body));
    const again = await publish(subject, body, sign(subject, body)).then(() => "stored", (err) => err.message);
    const r = await outcome("default", owner, id);
    return { id, owner, seq: ack.seq, again, end: r.e, user: r.u, value: decode(r.val) };
  },

  // harm tries to be somebody else; what the server took is told with its subject.
  async harm() {
    const own = ownerOf(...ask.user), theirs = ownerOf(...ask.victim);
    const tries = {};
    const send = async (name, subject, body, h) => {
      const took = await nc.request(subject, body, { headers: h, timeout: 60000 }).then((m) => !JSON.parse(m.string()).error, () => false);
      tries[name] = { subject, took };
    };
    const at = (owner, id, lane = "default", queue = "default") => `natsasync.job.${queue}.${lane}.${owner}.${id}`;
    const make = (user, over = {}) => {
      const id = newID();
      return { id, body: envelope({ id, user, task: ask.task, input: ask.input, ...over }) };
    };

    let m = make(ask.user);
    await send("unsigned", at(own, m.id), m.body);
    m = make(ask.victim);
    await send("in another's name, on my subject", at(own, m.id), m.body, sign(at(own, m.id), m.body));
    m = make(ask.victim);
    await send("in another's name, on their subject", at(theirs, m.id), m.body, sign(at(theirs, m.id), m.body));
    m = make(ask.user);
    const changed = Uint8Array.from(m.body);
    changed[changed.length - 1] ^= 1;
    await send("changed after it was signed", at(own, m.id), changed, sign(at(own, m.id), m.body));
    m = make(ask.user);
    await send("signed for another lane", at(own, m.id), m.body, sign(at(own, m.id, "free"), m.body));
    m = make(ask.user, { installation: "ELSEWHERE" });
    await send("made for another installation", at(own, m.id), m.body, sign(at(own, m.id), m.body));
    const bombs = {
      "a bomb of an array": [0xdd, 0xff, 0xff, 0xff, 0xff], "a bomb of a map": [0xdf, 0xff, 0xff, 0xff, 0xff],
      "nested without end": Array(100000).fill(0x91), "nothing": [], "a reserved byte": [0xc1],
      "JSON": [...text.encode('{"t":"doc.say"}')], "a list": [0x90],
    };
    for (const [name, bytes] of Object.entries(bombs)) {
      const id = newID(), body = Uint8Array.from(bytes);
      await send(name, at(own, id), body, sign(at(own, id), body));
    }
    for (const [name, subject] of Object.entries({
      "record an outcome": `natsasync.outcome.default.succeeded.${theirs}.${ask.job}`,
      "cancel their job": `natsasync.outcome.default.cancelled.${theirs}.${ask.job}`,
      "read their outcome": `${ask.api}.DIRECT.GET.NATSASYNC_OUTCOMES.natsasync.outcome.default.*.${theirs}.${ask.job}`,
      "read any outcome": `${ask.api}.STREAM.MSG.GET.NATSASYNC_OUTCOMES`,
      "empty the queues": `${ask.api}.STREAM.PURGE.NATSASYNC_JOBS`,
    })) await send(name, subject, text.encode("{}"), sign(subject, text.encode("{}")));
    return tries;
  },
};

const result = await done[ask.mode]();
await nc.close();
console.log(JSON.stringify(result));
