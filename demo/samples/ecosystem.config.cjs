module.exports = { apps: [{ script: 'server.js', instances: 'max', exec_mode: 'cluster', kill_timeout: 10_000 }] };
