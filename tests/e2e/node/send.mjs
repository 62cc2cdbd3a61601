// Sends events with Segment's own library: node send.mjs HOST WRITE_KEY COUNT RUN; prints what it could not deliver.
import { Analytics } from "@segment/analytics-node";

const [host, writeKey, count, run] = process.argv.slice(2);
const analytics = new Analytics({ host, writeKey, flushAt: 100, flushInterval: 500 });
const refused = [];
analytics.on("error", (error) => refused.push(error.code));

const methods = ["track", "identify", "page"];
for (let n = 0; n < Number(count); n++) {
  const about = { run, n };
  const method = methods[n % methods.length];
  const more = { track: { event: "Product Viewed", properties: about }, identify: { traits: about }, page: { properties: about } };
  analytics[method]({ userId: `customer-${n}`, ...more[method] });
  if (n % 1000 === 999) await new Promise((resolve) => setImmediate(resolve));
}
await analytics.closeAndFlush({ timeout: 60000 });
console.log(JSON.stringify({ refused }));
