// Makes the replica set and the users, each once; at each start, the application's password is that of
// its URL. A server without users takes this from its own host without a login.
const read = (name) => require('fs').readFileSync(`/run/secrets/${name}`, 'utf8').trim();
const admin = connect('mongodb://127.0.0.1:27017/admin?directConnection=true');
const password = read('mongodb_admin_password');
const awaitPrimary = () => { while (!admin.hello().isWritablePrimary) sleep(100); };
const isAdmin = () => { try { return admin.auth('admin', password).ok === 1; } catch { return false; } };

if (!isAdmin()) {
  if (!admin.hello().setName)
    admin.runCommand({replSetInitiate: {_id: 'unsticky', members: [{_id: 0, host: 'mongodb:27017'}]}});
  awaitPrimary();
  try { admin.createUser({user: 'admin', pwd: password, roles: ['root']}); } catch { /* there are users */ }
  if (!isAdmin()) throw new Error('secrets/mongodb_admin_password is not that of the user admin');
}
awaitPrimary();
const shop = read('mongodb_url').match(/^mongodb:\/\/shop:([^@]+)@/);
if (!shop) throw new Error('secrets/mongodb_url does not begin with mongodb://shop:PASSWORD@');
const rights = {pwd: decodeURIComponent(shop[1]), roles: [{role: 'readWrite', db: 'unsticky'}]};
if (admin.getUser('shop')) admin.updateUser('shop', rights);
else admin.createUser({user: 'shop', ...rights});
