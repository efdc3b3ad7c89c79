// Asks a server over the protocol's own client: prints what it says of itself, its tools, and the answer of each call
// that standard input names, as one JSON object. Arguments: the server's command line.
import { createRequire } from "node:module";
import { text } from "node:stream/consumers";
import { pathToFileURL } from "node:url";

// The library lies where it was installed, not beside this file.
const require = createRequire(`${process.env.MODULES}/package.json`);
const load = (name) => import(pathToFileURL(require.resolve(name)).href);
const { Client } = await load("@modelcontextprotocol/sdk/client/index.js");
const { StdioClientTransport } = await load("@modelcontextprotocol/sdk/client/stdio.js");

const [command, ...args] = process.argv.slice(2);
const client = new Client({ name: "test", version: "1" });
await client.connect(new StdioClientTransport({ command, args, env: process.env, stderr: "inherit" }));
const answers = [];
const { tools } = await client.listTools();
for (const call of JSON.parse(await text(process.stdin))) {
  answers.push(await client.callTool(call).catch((error) => ({ error: error.message })));
}
const about = { server: client.getServerVersion(), instructions: client.getInstructions() };
await client.close();
console.log(JSON.stringify({ ...about, tools, answers }));
