// Who is signed in, and what the token may do.
const prefix = 'Escooter_ErpConnector::';

let me = { resources: [] };

export const who = () => me;
export const setWho = (answer) => { me = answer; };

// may reports whether the token holds a resource. The API decides; this only keeps away what it would refuse.
export const may = (resource) => me.resources.includes(prefix + resource);

// mayAll reports the same of what is about all shops.
export const mayAll = (resource) => may(resource) && !me.source;

export const shortName = (resource) => resource.replace(prefix, '');
export const longName = (resource) => prefix + resource;
