// Providers of logins, by a package that is certified for it: the first line says where browsers come back to, and the answer
// where they are.   (MODELLER_NPM names the folder with node_modules)
import { createRequire } from 'node:module';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';
const packages = createRequire(process.env.MODELLER_NPM + '/');
const { Provider } = await import(pathToFileURL(packages.resolve('oidc-provider')));

async function serve({ client, secret, redirect, after }) {
  const server = createServer();
  await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [{ client_id: client, client_secret: secret, redirect_uris: [redirect], post_logout_redirect_uris: [after] }],
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'] },
    findAccount: (_, id) => ({
      accountId: id,
      claims: () => ({ sub: id, email: `${id}@example.com`, email_verified: true, name: id.toUpperCase() }),
    }),
    features: { devInteractions: { enabled: true } },
    cookies: { keys: ['only for tests'] },
  });
  server.on('request', provider.callback());
  return issuer;
}

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify({ issuers: await Promise.all(JSON.parse(line).map(serve)) }));
}
process.exit(0);
