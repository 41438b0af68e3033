// The browser's WebSocket. The page itself reconnects and keeps the cursor.

export function listen(url, hear, since = 0) {
  const socket = new WebSocket(`${url}?since=${since}`);
  socket.onmessage = (event) => {
    const { id, data, control } = JSON.parse(event.data);
    if (control === undefined) hear((since = id), data);
    else if (control === "gap") console.warn("lost:", event.data);
  };
  socket.onclose = ({ code }) => {
    if (code !== 1000 && code !== 1011) setTimeout(listen, 500 + 1000 * Math.random(), url, hear, since);
  };
}
