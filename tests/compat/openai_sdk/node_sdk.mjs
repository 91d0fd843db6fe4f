// The official Node SDK against a running router: `OPENAI_API_KEY=… node node_sdk.mjs BASE_URL MODEL ROWS.jsonl`. Prints `ok …` lines; exits 1 at
// the first thing that is not as the contract says.
import assert from "node:assert/strict";
import fs from "node:fs";
import OpenAI, { NotFoundError, BadRequestError } from "openai";

const [baseURL, model, rows] = process.argv.slice(2);
const client = new OpenAI({ baseURL });

const file = await client.files.create({ file: fs.createReadStream(rows), purpose: "fine-tune" });
assert.match(file.id, /^file-/);
assert.equal(file.status, "processed");
assert.equal((await client.files.retrieve(file.id)).bytes, fs.statSync(rows).size);
assert.equal(await (await client.files.content(file.id)).text(), fs.readFileSync(rows, "utf8"));
console.log("ok node files");

const job = await client.fineTuning.jobs.create({
  model,
  training_file: file.id,
  suffix: "node",
  metadata: { sdk: "node" },
  method: { type: "supervised", supervised: { hyperparameters: { n_epochs: 1, batch_size: 4 } } },
});
assert.match(job.id, /^ftjob-/);
assert.equal(job.object, "fine_tuning.job");
const found = [];
for await (const each of client.fineTuning.jobs.list({ metadata: { sdk: "node" } })) found.push(each.id);
assert.deepEqual(found, [job.id]);
const cancelled = await client.fineTuning.jobs.cancel(job.id);
assert.ok(["cancelled", "running"].includes(cancelled.status), cancelled.status);
const events = await client.fineTuning.jobs.listEvents(job.id);
assert.equal(events.data.at(-1).object, "fine_tuning.job.event");
console.log("ok node fine-tuning");

await assert.rejects(client.fineTuning.jobs.retrieve("ftjob-nothing"), NotFoundError);
await assert.rejects(
  client.fineTuning.jobs.create({ model: "no-such-model", training_file: file.id }),
  (error) => error instanceof BadRequestError && error.param === "model",
);
console.log("ok node errors");

const stream = await client.chat.completions.create({
  model,
  messages: [{ role: "user", content: "Say hello." }],
  max_tokens: 4,
  stream: true,
});
let pieces = 0;
for await (const chunk of stream) pieces += chunk.choices.length;
assert.ok(pieces > 0);
const models = [];
for await (const each of client.models.list()) models.push(each.id);
assert.ok(models.includes(model));
console.log("ok node chat");

await client.files.delete(file.id);
await assert.rejects(client.files.retrieve(file.id), NotFoundError);
console.log("ok node delete");
