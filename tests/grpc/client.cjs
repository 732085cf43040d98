// Calls with @grpc/grpc-js (native, in the clear and over TLS) and grpc-web (binary and text):
//
//     client.cjs ADDRESS TLS_ADDRESS        with ROOTS, a file in PEM
//
// Messages are bytes, as in server.py. Ends with 0 and prints `passed: ...` where all is well.
"use strict";

const assert = require("node:assert");
const fs = require("node:fs");
const grpc = require("@grpc/grpc-js");
globalThis.XMLHttpRequest = require("xhr2");
const web = require("grpc-web");

const [plain, tls] = process.argv.slice(2);
const same = (bytes) => bytes;
const passed = [];

function size(number, padding = 0) {
  const bytes = Buffer.alloc(4 + padding);
  bytes.writeUInt32BE(number);
  return bytes;
}

const soon = () => ({ deadline: Date.now() + 20000 });

async function native(name, client) {
  const unary = (method, request, metadata = new grpc.Metadata(), options = soon()) =>
    new Promise((resolve) => {
      const seen = {};
      const done = (what) => {
        Object.assign(seen, what);
        if ("error" in seen && "status" in seen) resolve(seen);
      };
      const path = `/test.Calls/${method}`;
      const call = client.makeUnaryRequest(path, same, same, request, metadata, options,
        (error, answer) => done({ error, answer }));
      call.on("metadata", (metadata) => done({ metadata }));
      call.on("status", (status) => done({ status }));
    });
  const all = async (call) => {
    const got = [];
    for await (const answer of call) got.push(answer.length);
    return got;
  };

  assert.strictEqual((await unary("Empty", Buffer.alloc(0))).answer.length, 0);
  assert.strictEqual((await unary("Unary", size(314159, 271828))).answer.length, 314159);

  const metadata = new grpc.Metadata();
  metadata.set("x-echo", "hello");
  metadata.set("x-echo-bin", Buffer.from([0xab, 0, 0xff]));
  const echoed = await unary("Unary", size(3), metadata);
  assert.deepStrictEqual(echoed.metadata.get("x-echo"), ["hello"]);
  const trailer = echoed.status.metadata.get("x-echo-bin");
  assert.deepStrictEqual(trailer, [Buffer.from([0xab, 0, 0xff])]);

  const failed = await unary("Fail", Buffer.from("9 not ☺ now"));
  assert.deepStrictEqual([failed.error.code, failed.error.details], [9, "not ☺ now"]);
  assert.strictEqual((await unary("Nothing", Buffer.alloc(0))).error.code, 12);
  const late = await unary("Sleep", size(10000), new grpc.Metadata(), {
    deadline: Date.now() + 300,
  });
  assert.strictEqual(late.error.code, 4);

  const sizes = [27182, 8, 1828, 45904];
  const total = await new Promise((resolve, reject) => {
    const call = client.makeClientStreamRequest("/test.Calls/ClientStream", same, same,
      new grpc.Metadata(), soon(), (error, answer) => (error ? reject(error) : resolve(answer)));
    for (const one of sizes) call.write(Buffer.alloc(one));
    call.end();
  });
  assert.strictEqual(total.readUInt32BE(), sizes.reduce((a, b) => a + b));

  const stream = client.makeServerStreamRequest("/test.Calls/ServerStream", same, same,
    Buffer.from([0, 0, 31, 0, 9, 200]), new grpc.Metadata(), soon());
  assert.deepStrictEqual(await all(stream), [31, 0, 9, 200]);

  const both = client.makeBidiStreamRequest("/test.Calls/Bidi", same, same,
    new grpc.Metadata(), soon());
  const answers = both[Symbol.asyncIterator]();
  for (const [request, answer] of [[27182, 31415], [8, 9], [1828, 2653], [45904, 58979]]) {
    both.write(size(answer, request));
    assert.strictEqual((await answers.next()).value.length, answer);
  }
  both.end();
  assert.ok((await answers.next()).done);

  client.close();
  passed.push(`native/${name}`);
}

async function browser(route, format) {
  const client = new web.GrpcWebClientBase({ format });
  const base = `http://${plain}/${route}/test.Calls/`;
  const describe = (method, type) =>
    new web.MethodDescriptor(`/test.Calls/${method}`, type, Object, Object, same, same);
  const unary = (method, request, metadata = {}) =>
    new Promise((resolve) => {
      const seen = {};
      const call = client.rpcCall(base + method, request, metadata,
        describe(method, web.MethodType.UNARY),
        (error, answer) => resolve({ ...seen, error, answer }));
      call.on("metadata", (metadata) => (seen.metadata = metadata));
    });

  assert.strictEqual((await unary("Unary", size(31415, 27182))).answer.length, 31415);
  assert.strictEqual((await unary("Empty", Buffer.alloc(0))).answer.length, 0);
  const echoed = await unary("Unary", size(3), { "x-echo": "hello" });
  assert.strictEqual(echoed.answer.length, 3);
  assert.strictEqual(echoed.metadata["x-echo"], "hello");
  const failed = await unary("Fail", Buffer.from("9 not now"));
  assert.deepStrictEqual([failed.error.code, failed.error.message], [9, "not now"]);
  assert.strictEqual((await unary("Nothing", Buffer.alloc(0))).error.code, 12);

  if (format === "text") {
    // Streams come in text only: browsers give no piece of a binary answer.
    const got = [];
    await new Promise((resolve, reject) => {
      const call = client.serverStreaming(base + "ServerStream",
        Buffer.from([0, 20, 31, 1, 9, 200]), {},
        describe("ServerStream", web.MethodType.SERVER_STREAMING));
      call.on("data", (answer) => got.push(answer.length));
      call.on("error", reject);
      call.on("end", resolve);
    });
    assert.deepStrictEqual(got, [31, 1, 9, 200]);
    const late = await new Promise((resolve) => {
      const call = client.serverStreaming(base + "FailLate", Buffer.from("15 late"), {},
        describe("FailLate", web.MethodType.SERVER_STREAMING));
      call.on("error", resolve);
      call.on("end", () => resolve({}));
    });
    assert.deepStrictEqual([late.code, late.message], [15, "late"]);
  }
  passed.push(`${route}/${format}`);
}

async function main() {
  // Behind TLS the node is met under the name that the call is for.
  const roots = grpc.credentials.createSsl(fs.readFileSync(process.env.ROOTS));
  const named = { "grpc.default_authority": "a.test", "grpc.ssl_target_name_override": "a.test" };
  await native("plain", new grpc.Client(plain, grpc.credentials.createInsecure(), named));
  await native("tls", new grpc.Client(tls, roots, named));
  await browser("web", "binary");
  await browser("web", "text");
  await browser("tls", "text");
  console.log(`passed: ${passed.join(" ")}`);
}

main().then(
  () => process.exit(0),
  (error) => {
    console.error(`passed before: ${passed.join(" ")}`);
    console.error(error);
    process.exit(1);
  },
);
