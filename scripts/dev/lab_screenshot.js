// Drives JupyterLab as a user does; lab_screenshot.sh calls it.
const { chromium } = require('playwright-core');

const [server, notebook, executablePath, picture] = process.argv.slice(2);
const token = 'token=screenshot';
const LONGEST_RUN = 30 * 60 * 1000;

async function main() {
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] });
  const page = await browser.newPage({ viewport: { width: 1280, height: 1700 } });
  page.on('pageerror', error => console.log('error in the page:', String(error)));
  await page.goto(`${server}/lab/tree/${notebook}?${token}&reset`);
  await page.waitForSelector('.jp-Notebook .jp-Cell');
  // The page says "Idle" before the kernel has started; the server knows.
  await page.waitForFunction(async address => {
    const kernels = await (await fetch(address)).json();
    return kernels.some(kernel => kernel.connections > 0 && kernel.execution_state === 'idle');
  }, `${server}/api/kernels?${token}`, { timeout: 120000, polling: 500 });

  const choose = async (menu, command) => {
    await page.click(`text=${menu} >> nth=0`);
    await page.click(`[data-command="${command}"]`);
  };
  const waitForPrompts = (pattern, timeout) => page.waitForFunction(pattern => {
    const prompts = [...document.querySelectorAll('.jp-CodeCell .jp-InputArea-prompt')].map(e => e.textContent);
    return prompts.length > 0 && prompts.every(prompt => new RegExp(pattern).test(prompt));
  }, pattern, { timeout, polling: 500 });
  await choose('Edit', 'editmenu:clear-all'); // the notebook comes with the outputs of another run
  await waitForPrompts('\\[ *\\]', 30000);
  const start = Date.now();
  await choose('Run', 'runmenu:run-all');
  await waitForPrompts('\\[\\d+\\]', LONGEST_RUN);
  const seconds = Math.round((Date.now() - start) / 1000);

  const count = selector => page.$$eval(selector, elements => elements.length);
  const cells = await count('.jp-CodeCell');
  const plots = await count('.jp-OutputArea-output svg');
  const errors = await count('.jp-OutputArea-output[data-mime-type="application/vnd.jupyter.error"]');
  console.log(`${notebook}: ${cells} cells in ${seconds} s, ${plots} plots, ${errors} errors`);
  await page.screenshot({ path: picture });
  await browser.close();
  return errors;
}

main().then(
  errors => process.exit(errors ? 1 : 0),
  error => { console.error(error); process.exit(1); },
);
