// axios finds the proxy by itself.
const axios = require("axios");

const headers = { Authorization: `Bearer ${process.env.KEY}` };
axios.get(process.argv[2], { headers }).then((answer) => console.log(answer.status, JSON.stringify(answer.data)));
