// tus-js-client, asked by lines of JSON: each is an upload, and is answered by a line when that has ended.
// (MODELLER_NPM names the folder with node_modules)
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
const tus = createRequire(process.env.MODELLER_NPM + '/')('tus-js-client');

// Bytes that anybody can make again: a hash of the place of each block.
function bytes(length) {
  const out = Buffer.alloc(length);
  for (let at = 0; at < length; at += 32) createHash('sha256').update(String(at)).digest().copy(out, at);
  return out;
}

async function upload({ endpoint, length, abortAt, terminate, stream, checksum, ...options }) {
  const data = bytes(length);
  const seen = { requests: [], acknowledged: 0, lost: 0, largest: 0 };
  const note = (request, response) => {
    const status = response.getStatus();
    const meant = request.getHeader('X-HTTP-Method-Override') ?? request.getMethod();
    seen.requests.push(`${meant} ${status}`);
    const offset = response.getHeader('Upload-Offset');
    if (status < 300 && offset !== undefined && offset !== null) {
      // Whatever was acknowledged has to be there ever after.
      if (Number(offset) < seen.acknowledged) seen.lost += 1;
      seen.acknowledged = Math.max(seen.acknowledged, Number(offset));
    }
  };
  const ended = await new Promise((resolve) => {
    const job = new tus.Upload(stream ? Readable.from([data]) : data, {
      endpoint,
      retryDelays: [],
      ...options,
      onBeforeRequest: (request) => {
        if (checksum && request.getMethod() === 'PATCH') {
          const sum = createHash('sha1').update(checksum === 'right' ? data : 'x').digest('base64');
          request.setHeader('Upload-Checksum', `sha1 ${sum}`);
        }
      },
      onAfterResponse: note,
      onProgress: (sent) => {
        seen.largest = Math.max(seen.largest, sent);
        if (abortAt !== undefined && sent >= abortAt) {
          abortAt = undefined;
          job.abort(terminate === true).then(() => resolve({ aborted: true, url: job.url }));
        }
      },
      onSuccess: () => resolve({ success: true, url: job.url }),
      onError: (error) => {
        const response = error.originalResponse;
        resolve({ error: String(error.message).slice(0, 300), status: response?.getStatus(), body: response?.getBody(), url: job.url });
      },
    });
    job.start();
  });
  let result = null;
  if (ended.success) {
    const answer = await fetch(ended.url, { headers: options.headers ?? {} });
    result = { status: answer.status, body: await answer.json() };
  }
  return { ...ended, ...seen, result, sha256: createHash('sha256').update(data).digest('hex') };
}

for await (const line of createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line);
  console.log(JSON.stringify(await upload(asked).catch((error) => ({ crashed: String(error.stack) }))));
}
