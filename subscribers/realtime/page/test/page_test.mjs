// Proves that the page shows live trades, the book of the chosen instrument and the publishers in a real browser, asks
// nothing of any other host, and goes on from where it was when the gateway comes back.
//   node page_test.mjs <gateway_fake> <chromium>
import assert from 'node:assert/strict';
import {spawn} from 'node:child_process';
import {mkdtemp, rm} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {createInterface} from 'node:readline';
import {chromium} from 'playwright-core';

const [gatewayProgram, chromiumProgram] = process.argv.slice(2);

async function startGateway(port = 0) {
  const child = spawn(gatewayProgram, [String(port)], {stdio: ['pipe', 'pipe', 'inherit']});
  for await (const line of createInterface({input: child.stdout})) {
    const found = /^port (\d+)$/.exec(line);
    if (found) return {child, port: Number(found[1])};
  }
  throw new Error('gateway_fake ended before it listened');
}

async function stopGateway({child}) {
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.stdin.end();
  assert.equal(await ended, 0, 'the gateway ends cleanly');
}

const profile = await mkdtemp(join(tmpdir(), 'millrace-page-'));
let gateway = await startGateway();
const origin = `http://127.0.0.1:${gateway.port}`;
const browser = await chromium.launchPersistentContext(profile, {
  executablePath: chromiumProgram,
  headless: true,
  args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
try {
  const page = await browser.newPage();
  const faults = [];
  const foreign = [];
  page.on('pageerror', (error) => faults.push(error.message));
  page.on('request', (request) => {
    if (!request.url().startsWith(origin) && !request.url().startsWith('data:')) foreign.push(request.url());
  });
  await page.goto(origin);

  await page.waitForFunction(() => document.querySelectorAll('#trades tbody tr').length >= 10);
  const trade = await page.locator('#trades tbody tr').first().locator('td').allTextContents();
  assert.match(trade[0], /^\d\d:\d\d:\d\d\.\d{3}$/);
  assert.match(trade[1], /^(AAA|BBB|CCC)$/);
  assert.match(trade[2], /^(buy|sell)$/);
  assert.match(trade[3], /^\d+\.\d\d$/);
  const offsets = (await page.locator('#trades tbody tr td:last-child').allTextContents()).map(Number);
  offsets.slice(1).forEach((offset, i) => assert.equal(offset, offsets[i] - 1, 'trades have no gap'));

  await page.waitForFunction(() => document.querySelector('#instrument').options.length === 3);
  await page.selectOption('#instrument', 'BBB');
  await page.waitForFunction(() => document.querySelector('#book tbody td.bid')?.textContent.startsWith('2'));
  // In one look: the book moves on between two.
  const book = await page.$$eval('#book tbody tr',
    (rows) => rows.map((row) => [...row.cells].map((cell) => Number(cell.textContent))));
  assert.equal(book.length, 10, 'ten levels');
  assert.ok(book[0][1] < book[0][2], 'the best bid is below the best ask');
  assert.ok(book[9][1] < book[0][1] && book[9][2] > book[0][2], 'levels go outward');

  await page.waitForFunction(() => document.querySelectorAll('#publishers tbody tr').length === 2);
  const publisher = await page.locator('#publishers tbody tr').first().locator('td').allTextContents();
  assert.deepEqual(publisher.slice(0, 3), ['trade_events', 'engine', 'healthy']);
  assert.equal(await page.textContent('#connection'), 'live');
  await page.waitForFunction(() => document.querySelector('#health').textContent === 'healthy');

  await stopGateway(gateway);
  await page.waitForFunction(() => document.querySelector('#connection').textContent === 'reconnecting');
  const before = Number(await page.textContent('#trade-count'));
  gateway = await startGateway(gateway.port);
  await page.waitForFunction(() => document.querySelector('#connection').textContent === 'live');
  await page.waitForFunction((count) => Number(document.querySelector('#trade-count').textContent) > count, before);

  assert.deepEqual(faults, [], 'no script error');
  assert.deepEqual(foreign, [], 'no request to another host');
  console.log('the page shows trades, book and publishers, and comes back by itself');
} finally {
  await browser.close();
  await rm(profile, {recursive: true, force: true});
  gateway.child.stdin.end();
}
