/* The envelope of transports that carry no id of their own, `{"id":N,"data":PAYLOAD}` (rtbench/transports/envelope.py).

   PAYLOAD stands byte for byte as it is when it is JSON, and as a JSON string when it is not. */

/** The envelope of one message, as bytes. */
export function wrap(seq, payload) {
  const text = payload.toString();
  const data = isJson(text) ? payload : Buffer.from(JSON.stringify(text));
  return Buffer.concat([Buffer.from(`{"id":${seq},"data":`), data, Buffer.from("}")]);
}

/** Whether it is one JSON text with no white space around it, which an envelope would lose. */
function isJson(text) {
  if (/^[ \t\n\r]|[ \t\n\r]$/.test(text)) return false;
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
