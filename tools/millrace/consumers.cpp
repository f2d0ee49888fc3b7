#include "tools/millrace/consumers.hpp"

#include <cstdio>

#include "bus/base/rfc3339.hpp"
#include "tools/millrace/connect.hpp"
#include "tools/millrace/json_writer.hpp"
#include "tools/millrace/output.hpp"
#include "tools/millrace/selection.hpp"

namespace millrace::cli {
namespace {

Exit done(const Status& status) {
  return status ? Exit::ok : complain(status.error());
}

}  // namespace

std::string consumers_text(const control::StatusReportT& report, const std::string& topic) {
  char line[256];
  std::snprintf(line, sizeof line, "%-18s %-24s %14s %12s %10s %8s  %s\n", "topic", "consumer", "acknowledged", "lag",
                "generation", "pid", "updated");
  std::string out = line;
  for (const auto& one : report.topics) {
    if (!topic.empty() && one->name != topic) continue;
    for (const auto& consumer : one->consumers) {
      std::snprintf(line, sizeof line, "%-18s %-24s %14llu %12llu %10llu %8s  ", one->name.c_str(),
                    consumer->name.c_str(), static_cast<unsigned long long>(consumer->acked),
                    static_cast<unsigned long long>(consumer->lag),
                    static_cast<unsigned long long>(consumer->generation),
                    consumer->pid == 0 ? "-" : std::to_string(consumer->pid).c_str());
      out += line;
      append_rfc3339(WallTime{consumer->updated}, out);
      out += "\n";
    }
  }
  return out;
}

std::string consumers_json(const control::StatusReportT& report, const std::string& topic) {
  std::string out;
  JsonWriter json(out);
  json.open('[');
  for (const auto& one : report.topics) {
    if (!topic.empty() && one->name != topic) continue;
    for (const auto& consumer : one->consumers) {
      json.open('{').field("topic", one->name).field("name", consumer->name).field("acked", consumer->acked);
      json.field("lag", consumer->lag).field("generation", consumer->generation).field("pid", consumer->pid);
      json.field("updated_ns", consumer->updated).close('}');
    }
  }
  json.close(']');
  out += '\n';
  return out;
}

Exit list_consumers(const BusOptions& bus_options, const ConsumersOptions& options) {
  const auto bus = connect(bus_options);
  if (bus == nullptr) return Exit::no_core;
  if (!options.topic.empty()) {
    if (const auto topic = bus->topic(options.topic); !topic) return complain(topic.error());
  }
  const auto report = bus->status();
  if (!report) return complain(report.error());
  Output out;
  out.text() += options.json ? consumers_json(*report, options.topic) : consumers_text(*report, options.topic);
  return out.finish(Exit::ok);
}

Exit reset_consumer(const BusOptions& bus_options, const ConsumersOptions& options) {
  const auto start = parse_start(options.to);
  if (!start) return complain(start.error());
  const auto bus = connect(bus_options);
  return bus == nullptr ? Exit::no_core : done(bus->reset_consumer(options.topic, options.name, *start));
}

Exit delete_consumer(const BusOptions& bus_options, const ConsumersOptions& options) {
  const auto bus = connect(bus_options);
  return bus == nullptr ? Exit::no_core : done(bus->delete_consumer(options.topic, options.name));
}

Exit reopen(const BusOptions& bus_options, const std::string& topic) {
  const auto bus = connect(bus_options);
  return bus == nullptr ? Exit::no_core : done(bus->reopen(topic));
}

}  // namespace millrace::cli
