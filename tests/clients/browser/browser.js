// A headless Chromium, the page in it, and what can be read there.

import { execFileSync } from 'node:child_process';
import { chromium } from 'playwright-core';

// Debian's browser, unless CHROMIUM names another.
const executablePath = process.env.CHROMIUM ?? execFileSync('which', ['chromium'], { encoding: 'utf8' }).trim();

export function startBrowser() {
  // Chromium refuses its sandbox to root; and tests talk to this host only.
  const args = ['--no-sandbox', '--disable-gpu', '--disable-quic'];
  args.push('--disable-background-networking', '--disable-component-update');
  return chromium.launch({ executablePath, args });
}

// The page at `address`, connected. What its console complained about is in `complaints`; a connection that could not be had
// is none of them, the browser itself notes it there.
export async function openPage(browser, address, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  const complaints = [];
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('console', (message) => {
    const isOurs = !/WebSocket connection to|Failed to load resource/.test(message.text());
    if (['error', 'warning'].includes(message.type()) && isOurs) complaints.push(message.text());
  });
  await page.goto(address);
  await page.locator('#state[data-state=open]').waitFor();
  return { page, complaints };
}

export const rowCount = (page, count) =>
  page.waitForFunction((count) => document.querySelectorAll('#messages li').length === count, count);

// Topic, offset, kind and content of each row.
export const rows = (page) =>
  page.locator('#messages li').evaluateAll((all) =>
    all.map((row) => [
      row.querySelector('.topic').textContent,
      row.querySelector('.offset').textContent,
      row.querySelector('.kind').textContent,
      row.querySelector('.data').lastChild.data,
    ]),
  );
