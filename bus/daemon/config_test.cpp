// Proves that every mistake in a configuration is named with its line and key, all at once, and that what is accepted
// means what the README says.
#include "bus/daemon/config.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <string>

#include "bus/daemon/memory_plan.hpp"
#include "bus/ring/ring.hpp"

namespace millrace::daemon {
namespace {

const TopicConfig& topic_of(const Config& config, const std::string& name) {
  for (const TopicConfig& topic : config.topics) {
    if (topic.name == name) return topic;
  }
  ADD_FAILURE() << "no topic " << name;
  return config.topics.front();
}

std::string error_of(const std::string& text) {
  const auto config = parse_config(text, "m.toml");
  return config ? "accepted" : config.error().message;
}

TEST(Config, HasSoundDefaultsForEveryTopic) {
  const Config config = default_config();
  EXPECT_EQ(config.topics.size(), 7u);
  for (const TopicConfig& topic : config.topics) {
    const std::size_t pages = ring::Ring::slots_in(topic.ring_bytes, topic.page_bytes);
    EXPECT_GE(pages, topic.readers + topic.grant_ahead + topic.unsynced_max + 2) << topic.name;
  }
  EXPECT_EQ(topic_of(config, "market_l2").stall_policy, ring::StallPolicy::live_only);
  EXPECT_EQ(topic_of(config, "trade_events").stall_policy, ring::StallPolicy::block);
}

TEST(Config, ReadsSizesDurationsAndPolicies) {
  const auto config = parse_config(R"(
[core]
runtime_dir = "/tmp/x"
free_space_floor = "64 MiB"
heartbeat_timeout = "250ms"
[core.disk]
idle = "spin"
cpu = 0
[gateway]
listen = "127.0.0.1:9000"
[topics.trade_events]
ring_bytes = "20 MiB"
publishers = 3
linger = "500us"
sync = "interval"
sync_interval = "5ms"
stall_policy = "refuse"
writers = ["root"]
retention_age = "7d"
compress_after = "1h"
retention_consumers = false
)",
                                   "m.toml");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->socket_path(), "/tmp/x/control.sock");
  EXPECT_EQ(config->heartbeat_timeout, std::chrono::milliseconds(250));
  EXPECT_EQ(config->disk.idle, "spin");
  EXPECT_EQ(config->disk.cpu, 0u);
  const TopicConfig& trades = topic_of(*config, "trade_events");
  EXPECT_EQ(trades.ring_bytes, 20u << 20);
  EXPECT_EQ(trades.publishers, 3u);
  EXPECT_EQ(trades.log.linger, std::chrono::microseconds(500));
  EXPECT_EQ(trades.log.policy, wal::SyncPolicy::interval);
  EXPECT_EQ(trades.stall_policy, ring::StallPolicy::refuse);
  EXPECT_EQ(trades.retention_age, std::chrono::days(7));
  EXPECT_EQ(topic_of(*config, "orders").retention_age.count(), 0) << "none by default";
  EXPECT_FALSE(trades.retention_consumers);
  EXPECT_TRUE(topic_of(*config, "orders").retention_consumers);
  EXPECT_EQ(trades.free_space_floor, 64u << 20);
  EXPECT_EQ(topic_of(*config, "orders").free_space_floor, 64u << 20) << "the core's, for all";
  EXPECT_FALSE(default_config().topics[0].free_space_floor);
  EXPECT_EQ(trades.compress_after, std::chrono::hours(1));
  EXPECT_EQ(topic_of(*config, "orders").compress_after.count(), 0) << "never by default";
  EXPECT_EQ(config->topics.size(), 7u) << "the other defaults stand";
}

TEST(Config, NamesLineAndKeyOfEverythingThatIsWrongAtOnce) {
  const std::string error = error_of(R"([core]
runtime_dirr = "x"
[topics.trade_events]
publishers = 11
ring_bytes = "ten"
stall_policy = "blok"
linger = 5
)");
  EXPECT_NE(error.find("m.toml:2:1: core.runtime_dirr: unknown key; did you mean 'runtime_dir'?"), std::string::npos)
      << error;
  EXPECT_NE(error.find("m.toml:4:14: topics.trade_events.publishers: wants a whole number from 1 to 10"),
            std::string::npos)
      << error;
  EXPECT_NE(error.find("m.toml:5:14: topics.trade_events.ring_bytes: wants a size"), std::string::npos) << error;
  EXPECT_NE(error.find("m.toml:6:16: topics.trade_events.stall_policy: wants one of: block, live_only, refuse"),
            std::string::npos)
      << error;
  EXPECT_NE(error.find("m.toml:7:10: topics.trade_events.linger: wants a duration"), std::string::npos) << error;
}

TEST(Config, RefusesWhatDoesNotHangTogether) {
  EXPECT_NE(error_of("[topics.trade_events]\nring_bytes = \"1 MB\"\n").find("holds 15 pages"), std::string::npos);
  EXPECT_NE(error_of("[topics.trade_events]\npage_bytes = 5000\n").find("power of two"), std::string::npos);
  EXPECT_NE(error_of("[topics.mine]\n").find("is no event family"), std::string::npos);
  EXPECT_NE(error_of("[topics.Mine]\n").find("a-z 0-9"), std::string::npos);
  EXPECT_NE(error_of("[topics.trade_events]\nwriters = [\"nobody-of-that-name\"]\n").find("not on this host"),
            std::string::npos);
  EXPECT_NE(error_of("[topics.trade_events]\npublishers = 1\nwriters = [\"root\", \"@no-group-of-that-name\"]\n")
                .find("m.toml:3:11: topics.trade_events.writers: names a group that is not on this host"),
            std::string::npos);
  EXPECT_NE(error_of("[topics.trade_events]\nwriters = []\n").find("wants a list"), std::string::npos)
      << "would it be nobody, or everybody?";
  EXPECT_NE(error_of("[core\n").find("m.toml:1"), std::string::npos);
  EXPECT_NE(error_of("topics = 3\n").find("wants a table"), std::string::npos);
  EXPECT_EQ(load_config("/nonexistent/m.toml").error().code, ErrorCode::not_found);
  const auto folder = load_config(::testing::TempDir());
  ASSERT_FALSE(folder) << "a file that cannot be read is not an empty one";
  EXPECT_NE(folder.error().message.find("cannot read the configuration " + ::testing::TempDir()), std::string::npos);
}

TEST(Config, CanLeaveTheDefaultTopicsOut) {
  const auto config = parse_config("default_topics = false\n[topics.fills]\ntype = \"trade_events\"\n", "m.toml");
  ASSERT_TRUE(config) << config.error().message;
  ASSERT_EQ(config->topics.size(), 2u);
  EXPECT_EQ(config->topics[0].name, "fills");
  EXPECT_EQ(config->topics[1].name, "system.health") << "the core's own stays";
}

TEST(Config, GrantsAThirdOfARingAheadWhereItHasThePagesToSpare) {
  TopicConfig topic;
  topic.ring_bytes = 64 << 20;
  EXPECT_EQ(granted_ahead(topic), ring::Ring::slots_in(topic.ring_bytes, topic.page_bytes) / 3);
  topic.ring_bytes = 8 << 20;
  EXPECT_EQ(granted_ahead(topic), ring::Ring::slots_in(topic.ring_bytes, topic.page_bytes) - 64 - 32 - 2);
  topic.ring_bytes = 1 << 20;
  EXPECT_EQ(granted_ahead(topic), topic.grant_ahead);
}

TEST(Config, LetsOnlyListedUsersAndGroupsPublish) {
  Writers writers;
  EXPECT_TRUE(writers.allow({.uid = 12345})) << "no list: whoever reaches the socket";
  ASSERT_TRUE(writers.add("daemon"));
  ASSERT_TRUE(writers.add("@bin"));
  EXPECT_EQ(writers.names(), "daemon, @bin");
  EXPECT_TRUE(writers.allow({.uid = 0}));
  EXPECT_TRUE(writers.allow({.uid = ::getuid(), .gid = 12345})) << "the core's own user";
  EXPECT_TRUE(writers.allow({.uid = 1})) << "daemon";
  EXPECT_TRUE(writers.allow({.uid = 12345, .gid = 2})) << "bin";
  EXPECT_TRUE(writers.allow({.uid = 12345, .gid = 12345, .groups = {7, 2}}));
  EXPECT_FALSE(writers.allow({.uid = 12345, .gid = 1, .groups = {7}}));
  EXPECT_FALSE(writers.allow({.uid = 2, .gid = 12345})) << "a group's number is no user's";
}

TEST(MemoryPlan, SumsTheRingsAndSaysWhichStallIsBridged) {
  const Config config = default_config();
  std::uint64_t rings = 0;
  for (const MemoryTerm& term : memory_plan(config)) {
    if (term.holder.starts_with("rings of")) rings += term.bytes;
  }
  EXPECT_EQ(rings, 10'000'000u * 3 + 50'000'000 + 5 * 4'000'000 + 1'000'000);
  const std::string text = print_check(config);
  EXPECT_NE(text.find("rings of market_l2"), std::string::npos);
  EXPECT_NE(text.find("trade_events, then publishers are back pressured"), std::string::npos);
  EXPECT_NE(text.find("market_l2, then the log misses events, live goes on"), std::string::npos);
}

}  // namespace
}  // namespace millrace::daemon
