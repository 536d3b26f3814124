// Package cli carries the commands of an operator.
//
//	$ erpconnector quarantine list --code refused --limit 1
//	ID  DOOR    SHOP     EVENT  TRIES  SINCE                REASON
//	7   outbox  default  evt-1  1      2024-01-15 10:30:00  refused: /type is "invoice.paid"; it must be order.placed, …
//	there may be more: erpconnector quarantine list --code refused --limit 1 --after 7
//
// # What every command promises
//
// What was asked for goes to the standard output, so that it can be piped; progress, warnings and errors go to the standard error.
// Times are in UTC, except on the screen of `demo`. A command line that cannot be is refused before any server is asked, with all that is wrong at once.
//
// An error says what to do next. A server that cannot be reached is named with the variable that names it (reach.go).
//
// What others wrote, as an event's id or a broker's answer, is printed with escapes (domain.Printable): a terminal obeys what stands
// in it, and an escape could clear the screen and print what was never there. Content that a file gets is printed byte for byte.
//
// # Exit codes
//
//	code  means
//	0     done; of verify, audit and repair also: nothing is wrong
//	1     not done; of verify, audit and repair: something is wrong
//	2     of verify, audit and repair: it could not be told (CouldNotTell), misuse included
//	130   a signal came before it was done
//
// So a script that runs `erpconnector audit` tells broken orders (1) from a database that does not answer (2).
//
// # How a command is added
//
// A function xxxCommand makes it, and Root lists it. Its RunE checks the flags, then opens what it needs: remote.ask for what the API has a
// route for (over HTTP or on the stores, ADR 0041), withDatabase for DATABASE_URL alone, withLog for the database and the topics, withAdmin
// for the topics. A function of its own prints, to an
// io.Writer, and returns the writer's error: what was printed to a full disk is not lost without a word. TestEveryCommandHasHelp,
// TestMisuse and TestWhatTheEnvironmentLacks have a line for each command.
//
// Variables come from the context (environment.go), so that tests set them without touching the process.
package cli
