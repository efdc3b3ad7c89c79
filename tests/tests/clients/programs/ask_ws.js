// Talks over a WebSocket, with ws.
const https = require("node:https");
const WebSocket = require("ws");

const agent = new https.Agent({ proxyEnv: process.env });
const headers = { Authorization: `Bearer ${process.env.KEY}` };
const socket = new WebSocket(process.argv[2], { agent, headers });
const large = Buffer.alloc(100000, 0xff);
const answers = [];
socket.on("open", () => {
  socket.send("a text");
  socket.send(large);
});
socket.on("message", (data, isBinary) => {
  answers.push(isBinary ? data.equals(large) : data.toString());
  if (answers.length === 3) socket.close();
});
socket.on("close", () => console.log(answers.join("\n")));
