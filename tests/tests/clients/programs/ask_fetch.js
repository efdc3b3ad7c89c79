// What a runtime has of its own: fetch, and the agent of node:https.
const headers = { Authorization: `Bearer ${process.env.KEY}` };

async function main() {
    const answer = await fetch(process.argv[2], { headers });
    console.log("fetch:", answer.status, await answer.text());
    const https = require("node:https");
    https.get(process.argv[2], { headers }, (answer) => {
        answer.on("data", () => {}).on("end", () => console.log("https:", answer.statusCode));
    });
}

main();
