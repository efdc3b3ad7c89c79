// undici's own fetch, and a request of its agent that reads the environment.
const { EnvHttpProxyAgent, fetch, request } = require("undici");

const headers = { Authorization: `Bearer ${process.env.KEY}` };

async function main() {
    const answer = await fetch(process.argv[2], { headers });
    console.log("fetch:", answer.status);
    const { statusCode } = await request(process.argv[2], { headers, dispatcher: new EnvHttpProxyAgent() });
    console.log("request:", statusCode);
}

main();
