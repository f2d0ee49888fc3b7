#include "tools/millrace/command_line.hpp"

#include <CLI/CLI.hpp>
#include <cmath>
#include <functional>
#include <string>

#include "bus/base/clock.hpp"
#include "bus/base/log.hpp"
#include "tools/millrace/consumers.hpp"
#include "tools/millrace/doctor.hpp"
#include "tools/millrace/interrupt.hpp"
#include "tools/millrace/publish.hpp"
#include "tools/millrace/replay.hpp"
#include "tools/millrace/selection.hpp"
#include "tools/millrace/status.hpp"
#include "tools/millrace/tail.hpp"
#include "tools/millrace/wal_dump.hpp"
#include "tools/millrace/wal_export.hpp"
#include "tools/millrace/wal_retain.hpp"
#include "tools/millrace/wal_stat.hpp"
#include "tools/millrace/wal_verify.hpp"
#include "wal/posix_file_system.hpp"

namespace millrace::cli {
namespace {

constexpr const char* exits =
    "Exit status: 0 done; 1 failed; 2 the command line or what was read is wrong; 3 no millraced answers;\n"
    "4 status: the core is not healthy; 130 ended by Ctrl-C.";

template <class Parse>
std::function<std::string(const std::string&)> parses(Parse parse) {
  return [parse](const std::string& text) {
    const auto parsed = parse(text);
    return parsed ? std::string() : parsed.error().message;
  };
}

class CommandLine {
 public:
  CommandLine() {
    app_.require_subcommand(1);
    app_.footer(exits);
    app_.set_help_all_flag("--help-all", "This help, and that of every command");
    add_status();
    add_tail();
    add_replay();
    add_publish();
    add_consumers();
    add_reopen();
    add_wal();
    add_doctor();
  }

  int run(int count, const char* const* arguments) {
    try {
      app_.parse(count, arguments);
    } catch (const CLI::ParseError& error) {
      return app_.exit(error) == 0 ? 0 : static_cast<int>(Exit::usage);
    }
    return static_cast<int>(command_());
  }

 private:
  CLI::App* add(CLI::App& above, const std::string& name, const std::string& what, const std::string& examples,
                std::function<Exit()> command) {
    CLI::App* const added = above.add_subcommand(name, what);
    added->footer("Examples:\n" + examples);
    added->callback([this, command = std::move(command)] { command_ = command; });
    return added;
  }

  void add_bus_options(CLI::App* command) {
    command->add_option("--socket", bus_.socket, "The core's control socket (default: the usual place)")
        ->envname("MILLRACE_SOCKET");
    command
        ->add_option_function<double>(
            "--timeout",
            [this](double seconds) { bus_.timeout = std::chrono::nanoseconds(std::llround(seconds * 1e9)); },
            "Seconds to wait for the core to answer")
        ->default_str("5")
        ->check(CLI::Range(0.01, 3600.0));
  }

  void add_log_options(CLI::App* command, LogChoice& choice) {
    command->add_option("LOG", choice.log, "A log's folder, or a topic's name")->required();
    command->add_option("--config", choice.config, "millraced's configuration, which says where topics' logs lie");
    command->add_option("--root", choice.root, "Table of your own schema, if it is not the one that the log names");
  }

  void add_status() {
    CLI::App* const command =
        add(app_, "status", "Core, topics, rates, publishers, subscribers with their lag, and memory",
            "  millrace status\n  millrace status --watch\n  millrace status --json | jq '.topics[].events_per_second'",
            [this] { return cli::status(bus_, status_); });
    add_bus_options(command);
    command->add_flag("--json", status_.json, "One line of JSON");
    command->add_flag("--watch", status_.watch, "Again every second");
  }

  void add_tail() {
    CLI::App* const command =
        add(app_, "tail", "A topic's events as JSON lines: those that come, or from a place in the log on",
            "  millrace tail trade_events\n"
            "  millrace tail trade_events --from earliest --filter instrument=600519 --limit 10\n"
            "  millrace tail account_events --from 2026-03-01T09:30:00Z --level synced --no-follow | jq .event.balance",
            [this] { return cli::tail(bus_, tail_); });
    add_bus_options(command);
    command->add_option("TOPIC", tail_.topic, "The topic")->required();
    command
        ->add_option("--from", tail_.from,
                     "earliest, latest, an offset, or a time: RFC 3339, or nanoseconds since 1970 (a number from "
                     "10^17 upward)")
        ->capture_default_str()
        ->check(parses(parse_start));
    command
        ->add_option("--level", tail_.level,
                     "live: as they are published, without offsets; recorded: as the log has them; synced: once "
                     "they are on the disk")
        ->capture_default_str()
        ->check(CLI::IsMember({"live", "recorded", "synced"}));
    command
        ->add_option("--filter", tail_.filters,
                     "FIELD=VALUE, as often as you like. Several on one field: any of them; on several fields: each")
        ->allow_extra_args(false)
        ->take_all();
    command->add_option("--limit", tail_.limit, "End after so many events");
    command->add_flag(
        "--snapshot", tail_.snapshot,
        "Begin with the latest event of each key (instrument, account ...) before --from, in the order of\n"
        "their offsets, marked \"snapshot\":true; then everything from there on");
    command->add_flag_callback(
        "--no-follow", [this] { tail_.follow = false; }, "End at what is there now");
  }

  void add_replay() {
    CLI::App* const command =
        add(app_, "replay", "Recorded events again: a range, several topics merged by record time, at any speed",
            "  millrace replay trade_events --from 2026-03-01T09:30:00Z --to 2026-03-01T10:00:00Z --speed 10\n"
            "  millrace replay ./log/trade_events ./log/market_l2 --filter instrument=600519   # needs no core\n"
            "  millrace replay trade_events --consumer risk --follow | jq .event.price",
            [this] { return cli::replay(bus_, replay_); });
    add_bus_options(command);
    command->add_option("TOPIC", replay_.topics, "Topics, or the folders of their logs")->required();
    CLI::Option* const from =
        command->add_option("--from", replay_.from, "earliest, latest, an offset, or a time as in `tail`")
            ->capture_default_str()
            ->check(parses(parse_start));
    CLI::Option* const to =
        command->add_option("--to", replay_.to, "Where it ends: end, or the first offset or record time not shown")
            ->capture_default_str()
            ->check(parses(parse_end));
    command->add_option("--consumer", replay_.consumer, "Begin at this durable consumer's checkpoint")->excludes(from);
    command->add_flag("--follow", replay_.follow, "Then go on with what comes")->excludes(to);
    command->add_option("--level", replay_.level, "By the core: what is there, and how far live goes")
        ->capture_default_str()
        ->check(CLI::IsMember({"recorded", "synced"}));
    command->add_option("--speed", replay_.speed, "max, or a factor: 1 as recorded, 10, 0.5")
        ->capture_default_str()
        ->check(parses(historical::parse_speed));
    command
        ->add_option("--filter", replay_.filters,
                     "FIELD=VALUE as in `tail`; each topic must have the field. event_type=NAME picks a type")
        ->allow_extra_args(false)
        ->take_all();
    command
        ->add_option("--merge-delay", replay_.merge_delay_ms,
                     "Milliseconds that live events wait for earlier ones of other topics")
        ->capture_default_str()
        ->check(CLI::Range(0.0, 60'000.0));
    command->add_option("--limit", replay_.limit, "End after so many events");
    command->add_flag("--quiet", replay_.quiet, "Show no events, only how it goes");
    command->add_flag("--progress", replay_.progress, "Show how it goes even where standard error is no terminal");
    command->add_option("--config", replay_.config,
                        "millraced's configuration: topics are read from where it keeps their logs, without a core");
    command->add_option("--root", replay_.root, "Table of your own schema, if it is not the one that the log names");
  }

  void add_publish() {
    CLI::App* const command =
        add(app_, "publish", "JSON lines from standard input become events of a topic; none is dropped",
            "  echo '{\"trade_id\":\"T-1\",\"instrument\":\"600519\",\"price\":\"1808.08\",\"quantity\":\"300\"}' |\n"
            "    millrace publish trade_events\n"
            "  millrace publish orders --name desk-7 --wait synced < orders.jsonl",
            [this] { return cli::publish(bus_, publish_); });
    add_bus_options(command);
    command->add_option("TOPIC", publish_.topic, "The topic")->required();
    command->add_option("--name", publish_.name, "The publisher's name: its sequence goes on where it ended")
        ->capture_default_str();
    command->add_option("--wait", publish_.wait, "What the last event must be before this ends")
        ->capture_default_str()
        ->check(CLI::IsMember({"recorded", "synced"}));
    command->add_flag("--keep-going", publish_.keep_going,
                      "Leave bad lines out and count them (exit status 2 at the end), instead of stopping");
  }

  void add_consumers() {
    CLI::App* const consumers = app_.add_subcommand("consumers", "Durable consumers: what each has acknowledged");
    consumers->require_subcommand(1);
    consumers->footer(
        "Examples:\n  millrace consumers list\n  millrace consumers reset trade_events risk --to earliest");

    CLI::App* const list = add(*consumers, "list", "All of them, or those of one topic, with their lag",
                               "  millrace consumers list\n  millrace consumers list trade_events --json | jq .[].lag",
                               [this] { return list_consumers(bus_, consumers_); });
    add_bus_options(list);
    list->add_option("TOPIC", consumers_.topic, "The topic (default: all)");
    list->add_flag("--json", consumers_.json, "One line of JSON");

    CLI::App* const reset =
        add(*consumers, "reset", "Where it goes on from now; a process that has the name is fenced off",
            "  millrace consumers reset trade_events risk --to earliest\n"
            "  millrace consumers reset trade_events risk --to 2026-03-01T09:30:00Z",
            [this] { return reset_consumer(bus_, consumers_); });
    CLI::App* const remove =
        add(*consumers, "delete", "Forgets it; refused while a process has the name",
            "  millrace consumers delete trade_events risk", [this] { return delete_consumer(bus_, consumers_); });
    for (CLI::App* const command : {reset, remove}) {
      add_bus_options(command);
      command->add_option("TOPIC", consumers_.topic, "The topic")->required();
      command->add_option("NAME", consumers_.name, "The consumer's name")->required();
    }
    reset->add_option("--to", consumers_.to, "earliest, latest, an offset, or a time as in `tail`")
        ->capture_default_str()
        ->check(parses(parse_start));
  }

  void add_reopen() {
    CLI::App* const command =
        add(app_, "reopen", "Opens a topic again that a disk failure has closed; what was published is kept",
            "  millrace reopen trade_events", [this] { return cli::reopen(bus_, reopen_); });
    add_bus_options(command);
    command->add_option("TOPIC", reopen_, "The topic")->required();
  }

  void add_wal() {
    CLI::App* const wal = app_.add_subcommand("wal", "Looks into logs; needs no daemon");
    wal->require_subcommand(1);
    wal->footer(
        "Examples:\n  millrace wal stat trade_events\n  millrace wal verify trade_events\n"
        "  millrace wal dump trade_events --limit 10\n"
        "  millrace wal export trade_events --format csv --out trades.csv");

    CLI::App* const verify =
        add(*wal, "verify", "Checks every batch: checksums, offsets, sequences, events. Names what is wrong",
            "  millrace wal verify trade_events\n  millrace wal verify ./log/trade_events",
            [this] { return with_output([this](Output& out) { return wal_verify(verify_, out, expect_seal_); }); });
    add_log_options(verify, verify_);
    verify->add_option("--expect-seal", expect_seal_, "Fail unless the chain of seals holds this value");
    add_retain(*wal);

    CLI::App* const dump = add(*wal, "dump", "The events as JSON lines, as `tail` shows them",
                               "  millrace wal dump trade_events --from 1000 --limit 10\n"
                               "  millrace wal dump ./log/trade_events --raw",
                               [this] { return with_output([this](Output& out) { return wal_dump(dump_, out); }); });
    add_log_options(dump, dump_.choice);
    add_range_options(dump, dump_.range);
    add_progress_option(dump, dump_.progress);
    dump->add_flag("--raw", dump_.raw, "The event's bytes in hexadecimal: needs no schema");
    add_export(*wal);
    add_stat(*wal);
  }

  void add_export(CLI::App& wal) {
    CLI::App* const command =
        add(wal, "export", "The events as one file: a table as CSV or SQLite, or JSON lines",
            "  millrace wal export trade_events --format csv --out trades.csv\n"
            "  millrace wal export market_l2 --format sqlite --out books.db --from 2026-03-01T09:30:00Z "
            "--to 2026-03-01T15:00:00Z\n"
            "  millrace wal export ./log/fills --format ndjson --filter instrument=MILL --out fills.jsonl",
            [this] { return wal_export(export_); });
    add_log_options(command, export_.choice);
    add_range_options(command, export_.range);
    command->add_option("--format", export_.format, "csv, ndjson (as `wal dump` prints) or sqlite (a table a type)")
        ->required()
        ->check(CLI::IsMember({"csv", "ndjson", "sqlite"}));
    command->add_option("--out", export_.out, "The file; it appears when all of it is there")->required();
    command->add_flag("--force", export_.force, "Replace a file of that name");
    add_progress_option(command, export_.progress);
  }

  void add_stat(CLI::App& wal) {
    CLI::App* const command =
        add(wal, "stat", "What a log holds: segments, events, times, runs, publishers",
            "  millrace wal stat trade_events\n  millrace wal stat ./log/trade_events --full --json | jq .types",
            [this] { return with_output([this](Output& out) { return wal_stat(stat_, out); }); });
    add_log_options(command, stat_.choice);
    command->add_flag("--full", stat_.full,
                      "Read all of it, not only headers: gaps, event types, each publisher's events");
    command->add_flag("--json", stat_.json, "One line of JSON");
    add_progress_option(command, stat_.progress);
  }

  void add_range_options(CLI::App* command, LogRange& range) {
    command->add_option("--from", range.from, "earliest, an offset, or a time as in `tail`")
        ->capture_default_str()
        ->check(parses(parse_start));
    command->add_option("--to", range.to, "End before this offset or time (default: at what is there now)")
        ->check(parses(parse_start));
    command
        ->add_option("--filter", range.filters,
                     "FIELD=VALUE, as often as you like. Several on one field: any of them; on several fields: each")
        ->allow_extra_args(false)
        ->take_all();
    command->add_option("--limit", range.limit, "End after so many events");
  }

  static void add_progress_option(CLI::App* command, bool& progress) {
    command->add_flag("--progress", progress, "How far it is, on standard error; without it, only on a terminal");
  }

  void add_retain(CLI::App& wal) {
    CLI::App* const retain = add(wal, "retain", "What the core would delete of a log, and why; touches nothing",
                                 "  millrace wal retain trade_events --dry-run --config millrace.toml", [this] {
                                   return with_output([this](Output& out) {
                                     return wal_retain(retain_, out, system_clock().wall(), wal::posix_file_system());
                                   });
                                 });
    add_log_options(retain, retain_.choice);
    retain->add_flag("--dry-run", retain_.dry_run, "Only this is done here: the core deletes");
  }

  void add_doctor() {
    CLI::App* const command = add(app_, "doctor", "Whether this host is fit for a core: a line each, ok, warn or fail",
                                  "  millrace doctor\n  millrace doctor --config millrace.toml | grep -v ^ok",
                                  [this] { return with_output([this](Output& out) { return doctor(doctor_, out); }); });
    command->add_option("--socket", doctor_.socket, "The core's control socket (default: the configuration's)")
        ->envname("MILLRACE_SOCKET");
    command->add_option("--config", doctor_.config, "millraced's configuration; without one, the defaults");
  }

  static Exit with_output(const std::function<Exit(Output&)>& command) {
    catch_interrupts();
    Output out;
    return command(out);
  }

  CLI::App app_{"Looks into a millrace bus and its logs, reads from it and publishes to it.", "millrace"};
  BusOptions bus_{.name = "millrace", .socket = {}, .timeout = std::chrono::seconds(5)};
  StatusOptions status_;
  TailOptions tail_;
  ReplayCommand replay_;
  PublishOptions publish_;
  ConsumersOptions consumers_;
  std::string reopen_;
  LogChoice verify_;
  std::string expect_seal_;
  RetainOptions retain_;
  DumpOptions dump_;
  ExportOptions export_;
  StatOptions stat_;
  DoctorOptions doctor_;
  std::function<Exit()> command_;
};

}  // namespace

int run(int count, const char* const* arguments) {
  open_log("millrace", "warn");  // what the library has to say goes to standard error
  const int status = CommandLine().run(count, arguments);
  close_log();
  return status;
}

}  // namespace millrace::cli
