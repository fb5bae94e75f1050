// The page that `corecast-load run --html` writes, in Chromium: on a desk, on a phone, in the dark, in print.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { startServer, BINARY } from '../server.mjs';
import { startBrowser } from './browser.js';

const PLOTS = 12;

let browser;
let directory;
let url;
before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'corecast-report-'));
  const file = join(directory, 'report.html');
  await writeReport(file);
  url = pathToFileURL(file).href;
  browser = await startBrowser();
});
after(async () => {
  await browser.close();
  await rm(directory, { recursive: true });
});

test('needs no script, and nothing from elsewhere', async (t) => {
  const { page, requests } = await open(t, { javaScriptEnabled: false });
  assert.equal(await page.locator('figure svg').count(), PLOTS);
  assert.equal(await page.locator('.verdict').textContent().then((text) => /valid; generator-limited: /.test(text)), true);
  assert.deepEqual(requests, [url]);
});

for (const width of [375, 768, 1300]) {
  test(`fits a window ${width} pixels wide`, async (t) => {
    const { page } = await open(t, { viewport: { width, height: 800 } });
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), width);
    assert.deepEqual(await page.evaluate(outsideOfItsPlot), []);
    assert.deepEqual(await page.evaluate(overlapping), []);
    // Small print is small, but not too small to read.
    const sizes = await page.evaluate(textHeights);
    assert.ok(Math.min(...sizes) >= 11, `${Math.min(...sizes)}`);
  });
}

test('is dark where the reader wants that, and light in print', async (t) => {
  const { page } = await open(t, { colorScheme: 'dark' });
  assert.ok((await lightness(page, 'body', 'backgroundColor')) < 0.2);
  assert.ok((await lightness(page, 'svg text', 'fill')) > 0.8);
  await page.emulateMedia({ media: 'print' });
  assert.ok((await lightness(page, 'body', 'backgroundColor')) > 0.9);
  assert.ok((await lightness(page, 'svg text', 'fill')) < 0.2);
  await page.emulateMedia({ media: 'screen', colorScheme: 'light' });
  assert.ok((await lightness(page, 'body', 'backgroundColor')) > 0.9);
});

test('plots tell in words what they show', async (t) => {
  const { page } = await open(t);
  const labels = await page.locator('svg').evaluateAll((all) => all.map((svg) => svg.getAttribute('aria-label')));
  assert.equal(labels.length, PLOTS);
  for (const label of labels) assert.match(label, /^[A-Z][^:]+: .*\d/);
});

test('every interval can be read as a table', async (t) => {
  const { page } = await open(t);
  const rows = page.locator('details table tbody tr');
  assert.equal(await rows.first().isVisible(), false);
  await page.locator('summary', { hasText: 'Every interval' }).click();
  assert.equal(await rows.first().isVisible(), true);
  assert.equal(await rows.filter({ hasText: 'measure' }).count(), 20);
});

async function writeReport(file) {
  const server = await startServer();
  const load = join(dirname(BINARY), 'corecast-load');
  const address = `ws://${server.authority}/topics/{topic}`;
  const run = ['run', address, '--preset', 'corecast', '-c', '20', '--rate', '200', '--duration', '1s'];
  const options = ['--warmup', '500ms', '--server-pid', `${server.pid}`, '--quiet', '--html', file];
  const code = await new Promise((resolve) => {
    execFile(load, [...run, ...options], (error) => resolve(error?.code ?? 0));
  });
  // 3: the generator was the limit, which is nothing to us.
  assert.ok(code === 0 || code === 3, `${code}`);
  await server.stop();
}

async function open(t, options = {}) {
  const context = await browser.newContext(options);
  t.after(() => context.close());
  const page = await context.newPage();
  const requests = [];
  page.on('request', (request) => requests.push(request.url()));
  await page.goto(url);
  return { page, requests };
}

async function lightness(page, selector, property) {
  const color = await page.locator(selector).first().evaluate((found, name) => getComputedStyle(found)[name], property);
  const parts = /rgb\((\d+), (\d+), (\d+)\)/.exec(color).slice(1).map(Number);
  return parts.reduce((sum, part) => sum + part, 0) / (3 * 255);
}

// In the page: texts of plots that reach out of their card.
function outsideOfItsPlot() {
  return [...document.querySelectorAll('svg text')]
    .filter((text) => {
      const [inner, outer] = [text, text.closest('figure')].map((found) => found.getBoundingClientRect());
      return inner.left < outer.left || inner.right > outer.right || inner.bottom > outer.bottom;
    })
    .map((text) => text.textContent);
}

// In the page: texts of plots that cover each other.
function overlapping() {
  const found = [];
  for (const svg of document.querySelectorAll('svg')) {
    const texts = [...svg.querySelectorAll('text')].filter((text) => text.textContent);
    const boxes = texts.map((text) => text.getBoundingClientRect());
    for (let one = 0; one < boxes.length; one += 1) {
      for (let other = 0; other < one; other += 1) {
        const [a, b] = [boxes[one], boxes[other]];
        const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
        const high = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
        // Boxes have room above and below the letters.
        if (wide > 0.5 && high > a.height / 3) found.push([texts[one], texts[other]].map((text) => text.textContent));
      }
    }
  }
  return found;
}

// In the page: how high the lines of the plots' texts are.
function textHeights() {
  return [...document.querySelectorAll('svg text')].filter((text) => text.textContent).map((text) => text.getBoundingClientRect().height);
}
