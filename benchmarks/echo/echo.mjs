/* The echo of benchmarks/autobahn.py on ws, with the settings of servers/node/websocket.js. Its argument: ws's module. */

const { WebSocketServer } = await import(process.argv[2]);

const server = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate: false, maxPayload: 2 ** 20 });
server.on("listening", () => console.log(server.address().port));
server.on("connection", (socket) => {
  socket.on("error", () => {}); // a frame that no client may send: ws closes the connection
  socket.on("message", (data, binary) => socket.send(data, { binary }));
});
