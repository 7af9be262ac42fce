// A client that is not ours: subscribes over JSON-RPC and prints a line for each payload.
// node subscriber.mjs ws://127.0.0.1:3030/@socket MODEL FILTER   (MODELLER_NPM names the folder with node_modules)
import { createRequire } from 'node:module';
const WebSocket = createRequire(process.env.MODELLER_NPM + '/')('ws');
const [url, model, filter] = process.argv.slice(2);
const socket = new WebSocket(url);
const request = { jsonrpc: '2.0', id: 1, method: 'subscribe', params: { model, filter: JSON.parse(filter) } };
socket.on('open', () => socket.send(JSON.stringify(request)));
socket.on('message', (data) => {
  const { id, result, error, method, params } = JSON.parse(data);
  if (error) throw new Error(JSON.stringify(error));
  console.log(JSON.stringify(id === 1 ? { ready: result } : { method, ...params }));
});
socket.on('close', (code) => process.exit(code === 1000 ? 0 : 1));
process.stdin.on('end', () => socket.close(1000)).resume();
