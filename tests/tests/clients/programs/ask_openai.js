// The answer at once and as a stream.
const { OpenAI } = require("openai");

async function main() {
    const client = new OpenAI({ apiKey: process.env.KEY, baseURL: process.argv[2], maxRetries: 0 });
    const ask = { model: "m", messages: [{ role: "user", content: "hello" }] };
    const whole = await client.chat.completions.create(ask);
    console.log("whole:", whole.choices[0].message.content);
    let stream = "";
    for await (const chunk of await client.chat.completions.create({ ...ask, stream: true })) {
        stream += chunk.choices[0].delta.content ?? "";
    }
    console.log("stream:", stream);
}

main();
