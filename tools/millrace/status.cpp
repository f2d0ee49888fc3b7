#include "tools/millrace/status.hpp"

#include <unistd.h>

#include <cstdarg>
#include <cstdio>
#include <fstream>
#include <optional>

#include "tools/millrace/connect.hpp"
#include "tools/millrace/interrupt.hpp"
#include "tools/millrace/json_writer.hpp"
#include "tools/millrace/output.hpp"

namespace millrace::cli {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::nanoseconds interval = 1s;

__attribute__((format(printf, 2, 3))) void print(std::string& out, const char* format, ...) {
  char line[512];
  va_list arguments;
  va_start(arguments, format);
  const int size = std::vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  out.append(line, std::min(static_cast<std::size_t>(size), sizeof line - 1));
}

using Unsigned = unsigned long long;  // what %llu takes

double megabytes(std::uint64_t bytes) {
  return static_cast<double>(bytes) / 1e6;
}

std::string duration(std::uint64_t seconds) {
  if (seconds < 120) return std::to_string(seconds) + " s";
  if (seconds < 7200) return std::to_string(seconds / 60) + " min";
  if (seconds < 172'800) return std::to_string(seconds / 3600) + " h";
  return std::to_string(seconds / 86'400) + " days";
}

// Events a second since the report before; 0 if the core is another one or the topic is new.
std::uint64_t rate(const StatusView& view, const control::TopicStatusT& topic) {
  if (view.before.pid != view.now.pid || view.between <= 0ns) return 0;
  for (const auto& before : view.before.topics) {
    if (before->name != topic.name || before->events > topic.events) continue;
    return static_cast<std::uint64_t>(static_cast<double>(topic.events - before->events) /
                                      std::chrono::duration<double>(view.between).count());
  }
  return 0;
}

void append_topic_text(const StatusView& view, const control::TopicStatusT& topic, std::string& out) {
  print(out, "%-18s %-13s %12llu %12llu %12llu %11llu %10.1f %8.1f\n", topic.name.c_str(),
        control::EnumNameTopicState(topic.state), Unsigned{topic.first_offset}, Unsigned{topic.recorded_end},
        Unsigned{topic.synced_end}, Unsigned{rate(view, topic)}, megabytes(topic.bytes), megabytes(topic.ring_bytes));
  if (topic.not_recorded > 0) print(out, "  %llu events are not in the log\n", Unsigned{topic.not_recorded});
  for (const auto& publisher : topic.publishers) {
    print(out, "  publisher  %s %s, id %llu, epoch %llu, pid %d, next sequence %llu%s%s\n", publisher->name.c_str(),
          control::EnumNamePublisherState(publisher->state), Unsigned{publisher->id}, Unsigned{publisher->epoch},
          publisher->pid, Unsigned{publisher->last_sequence + 1}, publisher->reason.empty() ? "" : ": ",
          publisher->reason.c_str());
  }
  for (const auto& subscriber : topic.subscribers) {
    print(out, "  subscriber %s %s, level %s, pid %d", subscriber->name.c_str(),
          control::EnumNameConsumerState(subscriber->state), control::EnumNameLevel(subscriber->level),
          subscriber->pid);
    if (subscriber->level != control::Level::live) print(out, ", lag %llu", Unsigned{subscriber->lag});
    if (!subscriber->reason.empty()) out += ": " + subscriber->reason;
    out += '\n';
  }
}

void append_topic_json(const StatusView& view, const control::TopicStatusT& topic, JsonWriter& json) {
  json.open('{').field("name", topic.name).field("state", control::EnumNameTopicState(topic.state));
  json.field("reason", topic.reason).field("first_offset", topic.first_offset);
  json.field("next_offset", topic.recorded_end)
      .field("recorded_end", topic.recorded_end)
      .field("synced_end", topic.synced_end);
  json.field("record_time_ns", topic.record_time).field("events", topic.events);
  json.field("events_per_second", rate(view, topic)).field("bytes", topic.bytes);
  json.field("not_recorded", topic.not_recorded).field("ring_bytes", topic.ring_bytes);
  json.name("publishers").open('[');
  for (const auto& publisher : topic.publishers) {
    json.open('{').field("name", publisher->name).field("id", publisher->id).field("epoch", publisher->epoch);
    json.field("pid", publisher->pid).field("state", control::EnumNamePublisherState(publisher->state));
    json.field("last_sequence", publisher->last_sequence).field("next_sequence", publisher->last_sequence + 1);
    json.field("reason", publisher->reason).close('}');
  }
  json.close(']').name("subscribers").open('[');
  for (const auto& subscriber : topic.subscribers) {
    json.open('{').field("name", subscriber->name).field("pid", subscriber->pid);
    json.field("level", control::EnumNameLevel(subscriber->level)).field("lag", subscriber->lag);
    json.field("state", control::EnumNameConsumerState(subscriber->state)).field("reason", subscriber->reason);
    json.close('}');
  }
  json.close(']').close('}');
}

// "VmRSS:    1234 kB"
std::uint64_t from_proc_status(int pid, const std::string& key) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/status");
  for (std::string word; in >> word;) {
    std::uint64_t kilobytes = 0;
    if (word == key && in >> kilobytes) return kilobytes * 1024;
  }
  return 0;
}

}  // namespace

std::string status_text(const StatusView& view) {
  const control::StatusReportT& report = view.now;
  std::string out;
  print(out, "core       %s, pid %d, up %s, %u clients, %llu messages rejected\n",
        report.reasons.empty() ? "healthy" : "not healthy", report.pid, duration(report.run_seconds).c_str(),
        report.clients, Unsigned{report.rejected_messages});
  print(out, "memory     %.1f MB shared segment; the core has %.1f MB resident, %.1f MB of it shared\n",
        megabytes(report.shared_bytes), megabytes(view.resident_bytes), megabytes(view.resident_shared_bytes));
  for (const std::string& reason : report.reasons) out += "reason     " + reason + "\n";
  print(out, "\n%-18s %-13s %12s %12s %12s %11s %10s %8s\n", "topic", "state", "first", "next offset", "synced",
        "events/s", "MB logged", "MB rings");
  for (const auto& topic : report.topics) append_topic_text(view, *topic, out);
  return out;
}

std::string status_json(const StatusView& view) {
  const control::StatusReportT& report = view.now;
  std::string out;
  JsonWriter json(out);
  json.open('{').field("healthy", report.reasons.empty()).field("pid", report.pid);
  json.field("run_seconds", report.run_seconds).field("clients", report.clients);
  json.field("rejected_messages", report.rejected_messages).field("shared_bytes", report.shared_bytes);
  json.field("resident_bytes", view.resident_bytes).field("resident_shared_bytes", view.resident_shared_bytes);
  json.name("reasons").open('[');
  for (const std::string& reason : report.reasons) json.value(std::string_view(reason));
  json.close(']').name("topics").open('[');
  for (const auto& topic : report.topics) append_topic_json(view, *topic, json);
  json.close(']').close('}');
  out += '\n';
  return out;
}

Exit status(const BusOptions& bus_options, const StatusOptions& options) {
  const auto bus = connect(bus_options);
  if (bus == nullptr) return Exit::no_core;
  catch_interrupts();
  Output out;
  const bool terminal = ::isatty(STDOUT_FILENO) == 1;
  std::optional<control::StatusReportT> before;
  MonotonicTime taken{};
  bool healthy = true;
  while (!interrupted()) {
    auto report = bus->status();
    const MonotonicTime now = system_clock().monotonic();
    if (!report) {
      if (!options.watch || report.error().code == ErrorCode::internal) {
        static_cast<void>(complain(report.error()));
        return out.finish(Exit::no_core);
      }
      before.reset();
    } else {
      if (before) {
        const StatusView view{*before, *report, now - taken, from_proc_status(report->pid, "VmRSS:"),
                              from_proc_status(report->pid, "RssShmem:")};
        if (options.watch && terminal) out.text() += "\033[H\033[2J";
        out.text() += options.json ? status_json(view) : status_text(view);
        if (options.watch && !options.json && !terminal) out.text() += '\n';
        healthy = report->reasons.empty();
        if (!out.flush() || !options.watch) break;
      }
      before = std::move(*report);
      taken = now;
    }
    wait_interruptibly(interval);
    if (!out.has_reader()) break;
  }
  return out.finish(healthy ? Exit::ok : Exit::unhealthy);
}

}  // namespace millrace::cli
