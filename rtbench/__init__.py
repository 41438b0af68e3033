"""rtbench: benchmark and compare real-time transports.

docs/glossary.md has all words, ARCHITECTURE.md the picture, docs/interface.md the contract. In short:

stream       a named kind of data with its rate and payload; a *channel* of it is what a subscriber subscribes to
workload     the streams and channels of a scenario, fully determined by a seed; a *tick* is one message of it
publisher    the process that plays the workload into a server on its timetable
subject      a *transport* (sse, websocket, short-poll, long-poll) on a *stack* (aiohttp, websockets): what is compared
subscriber   one client (a polling client counts as one, however many requests it makes)
scenario     what is asked of every subject; *trial*: one subject through one scenario once;
block        each subject once, in a seeded random order; *campaign*: all blocks of a scenario, one results folder
sample       one delivery at one subscriber; *metric*: one number per trial; *comparison*: two subjects, one metric
"""

__version__ = "0.1.0"
