// Uses the page of the server with the keyboard alone; serve_screenshot.sh calls it.
const { chromium } = require('playwright-core');

const [server, executablePath, folder] = process.argv.slice(2);
const LONGEST_REPLY = 120 * 1000;
const NAME = 'find_recipe';
const WORDS = 'Find me a recipe with rice and beans.';
const ANSWER = 'Rice with beans and tomatoes, 20 minutes.';

const problems = [];
const check = (holds, problem) => { if (!holds) problems.push(problem); };

async function main() {
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] });
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, colorScheme: 'light' });
  const page = await context.newPage();
  page.setDefaultTimeout(LONGEST_REPLY);
  page.on('pageerror', error => problems.push(`error in the page: ${error}`));
  page.on('console', message => { if (message.type() === 'error') problems.push(`console: ${message.text()}`); });
  page.on('requestfailed', request => problems.push(`${request.url()}: ${request.failure().errorText}`));
  await page.goto(server);
  await page.waitForSelector('#columns .column');
  await checkParts(page);
  await showOne(page);
  await addTool(page);
  await ask(page);
  await checkCall(page);
  await checkDetails(page);
  await pictures(page);
  await answerTool(page);
  await page.screenshot({ path: `${folder}/answered.png` });
  await checkKeys(page);
  await askBoth(page);
  await browser.close();
  for (const problem of problems) console.error(problem);
  if (!problems.length) console.log(`ok    ${folder}/light.png, dark.png, answered.png and both.png show the calls`);
  return problems.length;
}

const focused = page => page.evaluate(() => document.activeElement.id || document.activeElement.tagName);

// Checks that everything that a user needs is there and has a name.
async function checkParts(page) {
  for (const part of ['#models input', '#fresh', '#theme', '#help', '#system', '#tools', '#add', '#say', '#choice', '#temperature', '#most', '#parallel', '#stop', '#form .primary']) {
    check(await page.locator(part).first().isVisible(), `${part} is missing`);
  }
  const nameless = await page.$$eval('input, textarea, select, button', elements => elements
    .filter(element => element.checkVisibility() && !element.labels?.length && !element.ariaLabel && !element.textContent.trim())
    .map(element => element.outerHTML));
  check(!nameless.length, `without a name: ${nameless.join(', ')}`);
  check(await focused(page) === 'say', 'the message has no focus when the page opens');
}

// Alt 2 hides the second model, and shows it again.
async function showOne(page) {
  check(await page.locator('.column').count() === 2, 'two models are served, and the page does not show both');
  await page.keyboard.press('Alt+2');
  check(await page.locator('.column').count() === 1, 'Alt 2 does not hide the second model');
}

// Both models get the same message; each answers in its column.
async function askBoth(page) {
  await page.keyboard.press('Alt+2');
  check(await page.locator('.column').count() === 2, 'Alt 2 does not show the second model again');
  await page.keyboard.press('Alt+m');
  await page.keyboard.type(WORDS);
  await page.keyboard.press('Enter');
  for (const column of await page.locator('.column').all()) {
    await column.locator('.turn.assistant:not(.waiting) details').first().waitFor();
    check(await column.locator('.call strong').first().textContent() === NAME, 'a model does not call the tool');
    check(await column.locator('.error').count() === 0, `error: ${await column.locator('.error').allTextContents()}`);
  }
  await page.screenshot({ path: `${folder}/both.png` });
}

// Alt A adds a tool and selects its name; typing replaces it.
async function addTool(page) {
  await page.keyboard.press('Alt+a');
  check(await focused(page) === 'tools', 'Alt A does not lead to the tools');
  await page.keyboard.type(NAME);
  const tools = JSON.parse(await page.inputValue('#tools'));
  check(tools.at(-1).function.name === NAME, `the tool is not called ${NAME}`);
  check((await page.textContent('#tools-say')).includes(NAME), 'the page does not say that the tool is offered');
}

// The tool is chosen, so that any model calls it.
async function ask(page) {
  await page.keyboard.press('Alt+m');
  check(await focused(page) === 'say', 'Alt M does not lead to the message');
  await page.keyboard.press('Tab');
  await page.keyboard.type(NAME);
  check(await page.inputValue('#choice') === NAME, `the call of ${NAME} cannot be chosen with keys`);
  await page.keyboard.press('Alt+m');
  await page.keyboard.type(WORDS);
  await page.keyboard.press('Enter');
}

async function checkCall(page) {
  await page.waitForSelector('.turn.assistant:not(.waiting) details');
  const refused = await page.locator('.error:visible').allTextContents();
  check(!refused.length, `errors on the page: ${refused.join(', ')}`);
  const call = page.locator('.call').first();
  check(await call.locator('strong').textContent() === NAME, 'the call does not name the tool');
  const given = JSON.parse(await call.locator('code').textContent());
  check(typeof given.text === 'string', `the arguments are ${JSON.stringify(given)}`);
  const sure = await call.textContent();
  check(/sure to \d+ %/.test(sure) && await call.locator('meter').count() === 1, `no confidence: ${sure}`);
  console.log(`ok    ${NAME}(${JSON.stringify(given)}), ${sure.match(/sure to \d+ %/)}`);
}

// The folds open with Enter; the first is reached with Tab from the answer of the call.
async function checkDetails(page) {
  check(await focused(page) === 'INPUT', 'the answer of the tool has no focus');
  const folds = await page.locator('.turn.assistant').first().locator('details').count();
  for (let fold = 0; fold < folds; fold++) {
    await page.keyboard.press('Tab');
    check(await focused(page) === 'SUMMARY', 'Tab does not lead to the folds');
    await page.keyboard.press('Enter');
  }
  const texts = await page.locator('details[open]').allTextContents();
  const raw = texts.find(text => text.startsWith('What the model has written')) ?? '';
  check(raw.includes(NAME), 'what the model has written is not shown');
  const request = texts.find(text => text.startsWith('The request'))?.replace('The request', '');
  const { messages, tools, tool_choice: choice } = JSON.parse(request ?? '{}');
  check(messages?.at(-1).content === WORDS && tools?.at(-1).function.name === NAME, 'the request is not shown');
  check(choice?.function?.name === NAME, 'the request does not have the choice');
}

async function pictures(page) {
  const paper = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  await page.locator('.turn.assistant').first().scrollIntoViewIfNeeded();
  const light = await paper();
  await page.screenshot({ path: `${folder}/light.png` });
  await page.keyboard.press('Alt+d');
  check(await paper() !== light, 'Alt D does not change the colors');
  await page.screenshot({ path: `${folder}/dark.png` });
}

// Shift Tab leads back to the answer, which Enter sends; the model goes on.
async function answerTool(page) {
  for (let step = 0; step < 20 && await focused(page) !== 'INPUT'; step++) await page.keyboard.press('Shift+Tab');
  await page.keyboard.type(ANSWER);
  await page.keyboard.press('Enter');
  await page.locator('.turn.assistant:not(.waiting)').nth(1).locator('details').first().waitFor();
  const last = await page.locator('.turn.assistant').nth(1).locator('details').last().textContent();
  check(last.includes(ANSWER), 'the answer of the tool is not in the next request');
}

// ? shows the keys, Esc closes them; Alt N starts a new chat.
async function checkKeys(page) {
  await page.locator('#help').focus();
  await page.keyboard.press('?');
  check(await page.locator('#keys').isVisible(), '? does not show the keys');
  await page.keyboard.press('Escape');
  check(!await page.locator('#keys').isVisible(), 'Esc does not close the keys');
  await page.keyboard.press('Alt+n');
  check(await page.locator('.turn').count() === 0 && await focused(page) === 'say', 'Alt N does not begin anew');
}

main().then(
  failed => process.exit(failed ? 1 : 0),
  error => { console.error([...problems, error].join('\n')); process.exit(1); },
);
