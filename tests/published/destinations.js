// Segment's published destinations, unchanged, with the sandbox in their vendors' place: what they send by https to a
// vendor goes there by http, under the vendor's name, over connections that are kept. Started in the folder they are
// installed in.
const http = require("node:http");
const https = require("node:https");
const { createRequire } = require("node:module");

const at = createRequire(`${process.cwd()}/`);

module.exports = (sandbox, name) => {
  const { hostname, port } = new URL(sandbox);
  const agent = new http.Agent({ keepAlive: true });
  https.request = (asked, answered) => {
    const { path, method } = asked;
    const headers = { ...asked.headers, host: asked.hostname, connection: "keep-alive" };
    return http.request({ hostname, port, agent, path, method, headers }, answered);
  };
  const { Destination } = at("@segment/actions-core");
  return new Destination(at(`@segment/action-destinations/dist/destinations/${name}`).default);
};
