// The answer at once and as a stream.
const { Anthropic } = require("@anthropic-ai/sdk");

async function main() {
    const client = new Anthropic({ apiKey: process.env.KEY, baseURL: process.argv[2], maxRetries: 0 });
    const ask = { model: "m", max_tokens: 9, messages: [{ role: "user", content: "hello" }] };
    const whole = await client.messages.create(ask);
    console.log("whole:", whole.content[0].text);
    console.log("stream:", await client.messages.stream(ask).finalText());
}

main();
