// Puts events to one of Segment's published destinations, one after the other: takes {"sandbox", "destination",
// "settings", "events"} as JSON on its input, the mappings being the settings' subscriptions, and prints the results.
const { readFileSync } = require("node:fs");
const destinationAt = require("./destinations.js");

const given = JSON.parse(readFileSync(0, "utf8"));

(async () => {
  const destination = destinationAt(given.sandbox, given.destination);
  const results = [];
  for (const event of given.events) results.push(await destination.onEvent(event, given.settings));
  process.stdout.write(JSON.stringify(results), () => process.exit());
})();
