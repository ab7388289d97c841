// Succeeds if the application can log in, and the server takes writes.
const url = require('fs').readFileSync('/run/secrets/mongodb_url', 'utf8').trim();
quit(connect(url).hello().isWritablePrimary ? 0 : 1);
