#include "bus/daemon/config.hpp"

#include <unistd.h>

#include <algorithm>
#include <bit>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <map>
#include <sstream>

#include "bus/base/toml.hpp"
#include "bus/daemon/memory_plan.hpp"
#include "bus/ring/ring.hpp"
#include "schemas/families.hpp"
#include "schemas/registry.hpp"

namespace millrace::daemon {
namespace {

using namespace std::chrono_literals;

TopicConfig default_topic(const std::string& name) {
  TopicConfig topic;
  topic.name = topic.type = name;
  if (name == "market_l2") {
    topic.ring_bytes = 50'000'000;
    topic.stall_policy = ring::StallPolicy::live_only;
  } else if (name == "orders" || name == "risk_alerts") {
    topic.publishers = name == "orders" ? 4 : 1;
    topic.ring_bytes = 4'000'000;
    topic.page_bytes = 32 * 1024;  // 120 pages, so that the sum of validate() fits so small a ring
  } else if (name == "system.health") {
    topic.ring_bytes = 1'000'000;
    topic.page_bytes = 8 * 1024;
    topic.grant_ahead = 4;
    topic.stall_policy = ring::StallPolicy::live_only;
  }
  return topic;
}

// "10 MB", "64 KiB", "4096 B"
std::optional<std::uint64_t> parse_size(std::string_view text) {
  static const std::map<std::string_view, std::uint64_t> units{
      {"", 1},          {"B", 1},         {"kB", 1000},    {"MB", 1000'000}, {"GB", 1000'000'000},
      {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}};
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc()) return std::nullopt;
  std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  while (unit.starts_with(' ')) unit.remove_prefix(1);
  const auto it = units.find(unit);
  if (it == units.end() || value > (std::uint64_t{1} << 50) / it->second) return std::nullopt;
  return value * it->second;
}

// "1ms", "250us", "2s", "7d"
std::optional<std::chrono::nanoseconds> parse_duration(std::string_view text) {
  static const std::map<std::string_view, std::int64_t> units{{"ns", 1},
                                                              {"us", 1000},
                                                              {"ms", 1000'000},
                                                              {"s", 1000'000'000},
                                                              {"min", 60'000'000'000},
                                                              {"h", 3600'000'000'000},
                                                              {"d", 24 * 3600'000'000'000}};
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || value < 0) return std::nullopt;
  std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  while (unit.starts_with(' ')) unit.remove_prefix(1);
  const auto it = units.find(unit);
  if (it == units.end() || value > INT64_MAX / it->second) return std::nullopt;
  return std::chrono::nanoseconds(value * it->second);
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t next = std::min({row[j] + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = std::exchange(row[j], next);
    }
  }
  return row[b.size()];
}

// Reads tables key by key against a list of what there is, and collects everything that is wrong.
class Checker {
 public:
  explicit Checker(std::string origin) : origin_(std::move(origin)) {}

  // Takes a node, returns what is wrong with it, empty if nothing.
  using Take = std::function<std::string(const toml::node&)>;
  using Keys = std::map<std::string, Take, std::less<>>;

  void read(const toml::table& table, const std::string& where, const Keys& keys) {
    for (const auto& [key, node] : table) {
      const auto it = keys.find(key.str());
      const std::string name = where.empty() ? std::string(key.str()) : where + "." + std::string(key.str());
      if (it == keys.end()) {
        complain(key.source(), name, "unknown key" + suggestion(key.str(), keys));
      } else if (const std::string wrong = it->second(node); !wrong.empty()) {
        complain(node.source(), name, wrong);
      }
    }
  }
  void complain(const toml::source_region& at, const std::string& key, const std::string& what) {
    std::ostringstream line;
    line << origin_ << ":" << at.begin.line << ":" << at.begin.column << ": " << key << ": " << what;
    errors_.push_back(line.str());
  }
  [[nodiscard]] const std::vector<std::string>& errors() const { return errors_; }

 private:
  static std::string suggestion(std::string_view key, const Keys& keys) {
    std::string best, all;
    std::size_t distance = 4;
    for (const auto& [name, take] : keys) {
      all += (all.empty() ? "" : ", ") + name;
      if (const std::size_t d = edit_distance(key, name); d < distance) distance = d, best = name;
    }
    return best.empty() ? "; there are: " + all : "; did you mean '" + best + "'?";
  }

  std::string origin_;
  std::vector<std::string> errors_;
};

Checker::Take words(std::string& into) {
  return [&into](const toml::node& node) -> std::string {
    const auto value = node.value_exact<std::string>();
    if (!value || value->empty()) return "wants a text";
    return into = *value, "";
  };
}

Checker::Take flag(bool& into) {
  return [&into](const toml::node& node) -> std::string {
    const auto value = node.value_exact<bool>();
    if (!value) return "wants true or false";
    return into = *value, "";
  };
}

template <class Number>
Checker::Take number(Number& into, std::int64_t min, std::int64_t max) {
  return [&into, min, max](const toml::node& node) -> std::string {
    const auto value = node.value_exact<std::int64_t>();
    if (!value || *value < min || *value > max) {
      return "wants a whole number from " + std::to_string(min) + " to " + std::to_string(max);
    }
    return into = static_cast<Number>(*value), "";
  };
}

template <class Size>
Checker::Take size(Size& into) {
  return [&into](const toml::node& node) -> std::string {
    std::optional<std::uint64_t> bytes;
    if (const auto value = node.value_exact<std::string>()) bytes = parse_size(*value);
    if (const auto value = node.value_exact<std::int64_t>(); value && *value >= 0) bytes = *value;
    if (!bytes) return "wants a size, such as 4096, \"10 MB\" or \"64 KiB\"";
    return into = *bytes, "";
  };
}

Checker::Take duration(std::chrono::nanoseconds& into, std::chrono::nanoseconds min = 0ns) {
  return [&into, min](const toml::node& node) -> std::string {
    const auto value = node.value_exact<std::string>();
    const auto time = value ? parse_duration(*value) : std::nullopt;
    if (!time) return "wants a duration, such as \"500us\", \"1ms\" or \"2s\"";
    if (*time < min) return "must be at least " + std::to_string(min / 1us) + "us";
    return into = *time, "";
  };
}

template <class Value>
Checker::Take one_of(Value& into, std::map<std::string, Value> values) {
  return [&into, values = std::move(values)](const toml::node& node) -> std::string {
    const auto value = node.value_exact<std::string>();
    const auto it = value ? values.find(*value) : values.end();
    if (it != values.end()) return into = it->second, "";
    std::string all;
    for (const auto& [name, ignored] : values) all += (all.empty() ? "" : ", ") + name;
    return "wants one of: " + all;
  };
}

Checker::Take table(std::function<void(const toml::table&)> read) {
  return [read = std::move(read)](const toml::node& node) -> std::string {
    if (!node.is_table()) return "wants a table";
    return read(*node.as_table()), "";
  };
}

Checker::Take executable(std::string& into) {
  return [&into](const toml::node& node) -> std::string {
    const auto value = node.value_exact<std::string>();
    if (!value || ::access(value->c_str(), X_OK) != 0) return "wants the path of a program that this user may run";
    return into = *value, "";
  };
}

// "127.0.0.1:8080", "[::1]:0"
Checker::Take endpoint(std::string& into) {
  return [&into](const toml::node& node) -> std::string {
    const auto value = node.value_exact<std::string>();
    const std::size_t colon = value ? value->rfind(':') : std::string::npos;
    if (colon != std::string::npos && colon > 0) {
      std::uint16_t port = 0;
      const char* const last = value->data() + value->size();
      const auto [end, error] = std::from_chars(value->data() + colon + 1, last, port);
      if (error == std::errc() && end == last) return into = *value, "";
    }
    return "wants an address and a port from 0 to 65535, such as \"127.0.0.1:8080\"";
  };
}

// Where to point at for `key`: at itself, or at its table if it stands at its default.
toml::source_region source_of(const toml::table& table, std::string_view key) {
  const toml::node* node = table.get(key);
  return node != nullptr ? node->source() : table.source();
}

void read_thread(Checker& checker, const toml::table& from, const std::string& where, ThreadConfig& thread) {
  checker.read(
      from, where,
      {{"idle", one_of<std::string>(thread.idle, {{"spin", "spin"}, {"yield", "yield"}, {"back_off", "back_off"}})},
       {"cpu", [&thread](const toml::node& node) -> std::string {
          const auto value = node.value_exact<std::int64_t>();
          const long cpus = ::sysconf(_SC_NPROCESSORS_CONF);
          if (!value || *value < 0 || *value >= cpus) {
            return "wants a core from 0 to " + std::to_string(cpus - 1);
          }
          return thread.cpu = static_cast<unsigned>(*value), "";
        }}});
}

void read_topic(Checker& checker, const toml::table& from, TopicConfig& topic) {
  const std::string where = "topics." + topic.name;
  checker.read(
      from, where,
      {{"ring_bytes", size(topic.ring_bytes)},
       {"page_bytes", size(topic.page_bytes)},
       {"publishers", number(topic.publishers, 1, limits::publishers_max)},
       {"readers", number(topic.readers, 1, limits::readers_max)},
       {"grant_ahead", number(topic.grant_ahead, 1, 1024)},
       {"unsynced_max", number(topic.unsynced_max, 1, 1 << 20)},
       {"stall_policy", one_of<ring::StallPolicy>(topic.stall_policy, {{"block", ring::StallPolicy::block},
                                                                       {"refuse", ring::StallPolicy::refuse},
                                                                       {"live_only", ring::StallPolicy::live_only}})},
       {"sync", one_of<wal::SyncPolicy>(topic.log.policy, {{"always", wal::SyncPolicy::always},
                                                           {"interval", wal::SyncPolicy::interval},
                                                           {"none", wal::SyncPolicy::none}})},
       {"sync_interval", duration(topic.log.interval, 1us)},
       {"linger", duration(topic.log.linger)},
       {"linger_bytes", size(topic.log.linger_bytes)},
       {"segment_bytes", size(topic.log.segment_size)},
       {"retention_bytes", size(topic.retention_bytes)},
       {"retention_age", duration(topic.retention_age, 1s)},
       {"retention_consumers", flag(topic.retention_consumers)},
       {"compress_after", duration(topic.compress_after, 1s)},
       {"writers",
        [&topic](const toml::node& node) -> std::string {
          const toml::array* names = node.as_array();
          const std::string wanted = "wants a list of users and groups, such as [\"ledger\", \"@desk\"]";
          if (names == nullptr || names->empty()) return wanted;
          for (const toml::node& node_of_name : *names) {
            const auto name = node_of_name.value_exact<std::string>();
            if (!name) return wanted;
            if (const Status added = topic.writers.add(*name); !added) return added.error().message;
          }
          return "";
        }},
       {"type", words(topic.type)},
       {"schema", words(topic.schema)},
       {"root", words(topic.root)},
       {"key_field", words(topic.key_field)},
       {"event_type", number(topic.event_type, static_cast<int>(schemas::first_user_event_type), 65535)}});

  const auto complain = [&](const char* key, const std::string& what) {
    checker.complain(source_of(from, key), where + "." + key, what);
  };
  if (!std::has_single_bit(topic.page_bytes) || topic.page_bytes < limits::memory_page ||
      topic.page_bytes > limits::page_size_max) {
    return complain("page_bytes", "wants a power of two from 4 KiB to 4 MiB");
  }
  const std::size_t pages = ring::Ring::slots_in(topic.ring_bytes, topic.page_bytes);
  const std::size_t needed = topic.readers + topic.grant_ahead + topic.unsynced_max + 2;
  if (pages < needed) {
    complain("ring_bytes", "holds " + std::to_string(pages) + " pages of " + std::to_string(topic.page_bytes) +
                               " bytes; readers + grant_ahead + unsynced_max + 2 = " + std::to_string(needed) +
                               " are needed: raise ring_bytes, or lower one of those or page_bytes");
  }
  if (topic.log.segment_size < 4 * topic.page_bytes) {
    complain("segment_bytes", "is less than four pages of the ring");
  }
  if (topic.retention_bytes > 0 && topic.retention_bytes / 2 < topic.log.segment_size) {
    complain("retention_bytes", "is less than two segments: what is read late would be deleted without a warning");
  }
  static const schemas::Registry built_in = schemas::Registry::built_in();
  const bool is_built_in = built_in.find(topic.type) != nullptr;
  if (!topic.schema.empty()) {
    if (is_built_in) complain("type", "'" + topic.type + "' is a built-in event family: name your own differently");
    return;
  }
  for (const char* key : {"root", "key_field", "event_type"}) {
    if (from.contains(key)) complain(key, "needs a `schema`");
  }
  if (!is_built_in) {
    std::string known;
    for (const auto* type : built_in.all()) known += (known.empty() ? "" : ", ") + std::string(type->name());
    complain("type", "'" + topic.type + "' is no event family (" + known + "); for your own, name its `schema`");
  }
}

// Numbers the users' event types that have none, around those that have.
void number_event_types(Checker& checker, const toml::table& tables, std::vector<TopicConfig>& topics) {
  std::map<EventTypeId, std::string> taken;
  const auto take = [&](const TopicConfig& topic) { return taken.emplace(topic.event_type, topic.type); };
  for (const TopicConfig& topic : topics) {
    if (topic.event_type == EventTypeId{}) continue;
    const auto [it, is_new] = take(topic);
    if (is_new || it->second == topic.type) continue;
    checker.complain(source_of(*tables.get_as<toml::table>(topic.name), "event_type"),
                     "topics." + topic.name + ".event_type", "is already that of '" + it->second + "'");
  }
  std::uint16_t next = static_cast<std::uint16_t>(schemas::first_user_event_type);
  for (TopicConfig& topic : topics) {
    if (topic.schema.empty() || topic.event_type != EventTypeId{}) continue;
    do topic.event_type = EventTypeId{next++};
    while (!take(topic).second);
  }
}

}  // namespace

Config default_config() {
  Config config;
  const char* runtime = std::getenv("XDG_RUNTIME_DIR");
  const char* home = std::getenv("HOME");
  const bool root = ::getuid() == 0;
  config.runtime_dir = root || runtime == nullptr ? "/run/millrace" : std::string(runtime) + "/millrace";
  config.log_dir = root || home == nullptr ? "/var/lib/millrace" : std::string(home) + "/.local/share/millrace";
  for (const char* name :
       {"trade_events", "account_events", "market_l2", "order_events", "orders", "risk_alerts", "system.health"}) {
    config.topics.push_back(default_topic(name));
  }
  return config;
}

namespace {

// `folder`: of the configuration, where relative paths of schemas begin and where they must be; none for text alone.
Result<Config> parse(std::string_view text, const std::string& origin, const std::filesystem::path* folder);

}  // namespace

Result<Config> load_config(const std::string& path) {
  const auto text = read_text(path, "the configuration");
  if (!text) return fail(text.error());
  const std::filesystem::path folder = std::filesystem::path(path).parent_path();
  auto config = parse(*text, path, &folder);
  if (!config) return config;
  if (const Status fits = check_memory(*config, dev_shm_bytes()); !fits) {
    return fail(fits.error().code, path + ": " + fits.error().message);
  }
  return config;
}

Result<Config> parse_config(std::string_view text, const std::string& origin) {
  return parse(text, origin, nullptr);
}

namespace {

Result<Config> parse(std::string_view text, const std::string& origin, const std::filesystem::path* folder) {
  const toml::parse_result parsed = toml::parse(text, origin);
  if (!parsed) {
    std::ostringstream message;
    message << origin << ":" << parsed.error().source().begin.line << ":" << parsed.error().source().begin.column
            << ": " << parsed.error().description();
    return fail(ErrorCode::invalid_argument, message.str());
  }
  Checker checker(origin);
  Config config = default_config();
  bool default_topics = true;
  std::optional<std::uint64_t> free_space_floor;
  std::vector<TopicConfig> topics;
  const auto read_topics = [&](const toml::table& tables) {
    for (const auto& [key, node] : tables) {
      const std::string name(key.str());
      if (!limits::is_name(name, limits::topic_name_size_max) || !node.is_table()) {
        checker.complain(
            key.source(), "topics." + name,
            "wants a table under a name of 1 to " + std::to_string(limits::topic_name_size_max) + " of a-z 0-9 _ - .");
        continue;
      }
      if (name == "system") {
        checker.complain(key.source(), "topics.system", "names with a dot are quoted: [topics.\"system.health\"]");
        continue;
      }
      TopicConfig topic = default_topic(name);
      read_topic(checker, *node.as_table(), topic);
      if (!topic.schema.empty() && folder != nullptr) {
        topic.schema = (*folder / topic.schema).string();
        if (::access(topic.schema.c_str(), R_OK) != 0) {
          checker.complain(source_of(*node.as_table(), "schema"), "topics." + name + ".schema",
                           "cannot read " + topic.schema + ": " + std::generic_category().message(errno));
        }
      }
      topics.push_back(std::move(topic));
    }
    number_event_types(checker, tables, topics);
  };
  checker.read(
      parsed.table(), "",
      {{"default_topics", flag(default_topics)},
       {"core", table([&](const toml::table& core) {
          checker.read(
              core, "core",
              {{"runtime_dir", words(config.runtime_dir)},
               {"log_dir", words(config.log_dir)},
               {"free_space_floor", [&](const toml::node& node) { return size(free_space_floor.emplace())(node); }},
               {"heartbeat_interval", duration(config.heartbeat_interval, 1ms)},
               {"heartbeat_timeout", duration(config.heartbeat_timeout, 1ms)},
               {"lag_limit", number(config.lag_limit, 0, INT64_MAX)},
               {"control",
                table([&](const toml::table& t) { read_thread(checker, t, "core.control", config.control); })},
               {"disk", table([&](const toml::table& t) { read_thread(checker, t, "core.disk", config.disk); })}});
        })},
       {"gateway", table([&](const toml::table& gateway) {
          checker.read(gateway, "gateway",
                       {{"enabled", flag(config.gateway.enabled)},
                        {"program", executable(config.gateway.program)},
                        {"listen", endpoint(config.gateway.listen)}});
        })},
       {"topics", table(read_topics)}});
  if (!checker.errors().empty()) {
    std::string all;
    for (const std::string& error : checker.errors()) all += (all.empty() ? "" : "\n") + error;
    return fail(ErrorCode::invalid_argument, all);
  }
  std::erase_if(config.topics, [&](const TopicConfig& topic) {
    return (!default_topics && topic.name != "system.health") ||
           std::any_of(topics.begin(), topics.end(), [&](const TopicConfig& own) { return own.name == topic.name; });
  });
  config.topics.insert(config.topics.begin(), topics.begin(), topics.end());
  for (TopicConfig& topic : config.topics) topic.free_space_floor = free_space_floor;
  return config;
}

}  // namespace

std::vector<std::string> Config::gateway_command() const {
  std::string program = gateway.program;
  if (program.empty()) {
    std::error_code error;
    program = (std::filesystem::read_symlink("/proc/self/exe", error).parent_path() / "millrace-gateway").string();
  }
  return {program, "--socket", socket_path(), "--listen", gateway.listen};
}

std::uint32_t granted_ahead(const TopicConfig& topic) {
  const std::size_t pages = ring::Ring::slots_in(topic.ring_bytes, topic.page_bytes);
  const std::size_t held = topic.readers + topic.unsynced_max + 2;
  const std::size_t spare = std::min(pages / 3, pages > held ? pages - held : 0);
  return std::max(topic.grant_ahead, static_cast<std::uint32_t>(spare));
}

}  // namespace millrace::daemon
