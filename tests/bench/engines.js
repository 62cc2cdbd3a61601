// Segment's published engines at the work that our engines are measured at. Started in the folder they are installed
// in; reads lines {"work", "count"}, answers each with its seconds, the processor's seconds and the last result.
const { createRequire } = require("node:module");
const { createInterface } = require("node:readline");

const at = createRequire(`${process.cwd()}/`);
const core = at("@segment/actions-core");
const { parseFql, validate } = at("@segment/destination-subscriptions");
const dist = `${process.cwd()}/node_modules/@segment/actions-core/dist/cjs`;
const { removeEmptyValues } = at(`${dist}/remove-empty-values`);
const { validateSchema } = at(`${dist}/schema-validation`);

const given = JSON.parse(process.argv[2]);

const matching = (triggers) => (event) => {
  const matched = [];
  for (const text of triggers) matched.push(validate(parseFql(text), event));
  return matched;
};

const shaping = (name, { mapping, fields }) => {
  const schema = core.fieldsToJsonSchema(fields);
  let number = 0;
  return {
    resolve: (event) => core.transform(mapping, event),
    clean: (event) => {
      const payload = removeEmptyValues(core.transform(mapping, event), schema, true);
      validateSchema(payload, schema, { schemaKey: name, exempt: ["dynamicAuthSettings"] });
      return payload;
    },
  };
};

const works = {};
for (const [name, one] of Object.entries(given.matching)) works[name] = [matching(one.triggers), one.event];
for (const [name, one] of Object.entries(given.mapping)) {
  const { resolve, clean } = shaping(name, one);
  works[`${name} mapping`] = [resolve, one.event];
  works[`${name} mapping and fields`] = [clean, one.event];
}

createInterface({ input: process.stdin }).on("line", (line) => {
  const { work, count } = JSON.parse(line);
  const [run, event] = works[work];
  let last;
  const began = process.hrtime.bigint();
  const cpu = process.cpuUsage();
  for (let n = 0; n < count; n++) last = run({ ...event, n });
  const seconds = Number(process.hrtime.bigint() - began) / 1e9;
  const used = process.cpuUsage(cpu);
  console.log(JSON.stringify({ seconds, cpu: (used.user + used.system) / 1e6, last }));
});
