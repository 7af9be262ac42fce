// Windows of a headless Chromium with the page of the board, asked by lines of JSON.
// (MODELLER_NPM names the folder with node_modules, CHROMIUM the browser)
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
const { chromium } = createRequire(process.env.MODELLER_NPM + '/')('playwright-core');

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox'] });
const windows = [];
const errors = [];

const card = (page, title) => page.locator('li', { hasText: title });
const column = (page, name) => page.locator(`section[data-column="${name}"]`);

const operations = {
  async open({ url }) {
    const context = await browser.newContext({ viewport: { width: 900, height: 480 }, colorScheme: 'light' });
    const page = await context.newPage();
    const window = { page, loads: 0 };
    page.on('load', () => (window.loads += 1));
    page.on('pageerror', (error) => errors.push(String(error)));
    await page.goto(url);
    await page.locator('#state[data-online="true"]').waitFor({ timeout: 15_000 });
    windows.push(window);
    return windows.length - 1;
  },
  async add({ page, title }) {
    await page.fill('input[name="title"]', title);
    await page.press('input[name="title"]', 'Enter');
  },
  async drag({ page, title, to }) {
    await card(page, title).dragTo(column(page, to).locator('ul'));
  },
  // Where a card is as soon as it is there, and that is no longer than it has to be.
  async sees({ page, title, where, timeout }) {
    const begun = Date.now();
    await column(page, where).locator('li:not(.pending)', { hasText: title }).waitFor({ timeout: timeout ?? 10_000 });
    return Date.now() - begun;
  },
  async titles({ page, where }) {
    return (await column(page, where).locator('li').allTextContents()).map((text) => text.replace('✕', ''));
  },
  async message({ page, text }) {
    await page.locator('#message', { hasText: text }).waitFor({ timeout: 5_000 });
  },
  async online({ page, is }) {
    await page.locator(`#state[data-online="${is}"]`).waitFor({ timeout: 40_000 });
  },
  async screenshot({ page, path }) {
    await page.screenshot({ path });
  },
  async loads({ window }) {
    return window.loads;
  },
  async errors() {
    return errors;
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { op, window, ...rest } = JSON.parse(line);
  let answer;
  try {
    const of = windows[window];
    answer = { done: (await operations[op]({ ...rest, window: of, page: of?.page })) ?? null };
  } catch (error) {
    answer = { failed: String(error) };
  }
  console.log(JSON.stringify(answer));
}
await browser.close();
