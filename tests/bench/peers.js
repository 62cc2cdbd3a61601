// Segment's published destinations at the events of a round, so many at once. Takes the sandbox's origin; reads lines
// {"destination", "settings", "events"}, answers each with its seconds and the processor's seconds.
const { createInterface } = require("node:readline");
const destinationAt = require("../published/destinations.js");

const AT_ONCE = 64;
const sandbox = process.argv[2];

createInterface({ input: process.stdin }).on("line", async (line) => {
  const { destination: name, settings, events } = JSON.parse(line);
  const destination = destinationAt(sandbox, name);
  const waiting = events.values();
  const one = async () => {
    for (const event of waiting) await destination.onEvent(event, settings);
  };
  const began = process.hrtime.bigint();
  const cpu = process.cpuUsage();
  await Promise.all(Array.from({ length: AT_ONCE }, one));
  const seconds = Number(process.hrtime.bigint() - began) / 1e9;
  const used = process.cpuUsage(cpu);
  console.log(JSON.stringify({ seconds, cpu: (used.user + used.system) / 1e6 }));
});
