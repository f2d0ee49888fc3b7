// Proves that what only together is wrong is refused too: keys that contradict each other, and a whole that the host's
// memory or iceoryx cannot hold.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "bus/daemon/config.hpp"
#include "bus/daemon/memory_plan.hpp"

namespace millrace::daemon {
namespace {

std::string error_of(const std::string& text) {
  const auto config = parse_config(text, "m.toml");
  return config ? "accepted" : config.error().message;
}

void expect_error(const std::string& text, const std::string& place, const std::string& part) {
  const std::string error = error_of(text);
  EXPECT_TRUE(error.starts_with("m.toml:" + place)) << text << error;
  EXPECT_NE(error.find(part), std::string::npos) << text << error;
}

TEST(ConfigRelations, ATopicNameWithADotIsToBeQuoted) {
  expect_error("[topics.system.health]\nreaders = 8\n", "1:", "\"system.health\"");
}

TEST(ConfigRelations, TimesThatAlwaysElapseAreRefused) {
  expect_error("[core]\nheartbeat_interval = \"0s\"\n", "2:", "core.heartbeat_interval: must be at least 1000us");
  expect_error("[core]\nheartbeat_timeout = \"10us\"\n", "2:", "core.heartbeat_timeout: must be at least 1000us");
}

TEST(ConfigRelations, ALogOfLessThanTwoSegmentsIsRefused) {
  const std::string segments = "[topics.trade_events]\nsegment_bytes = \"1 MiB\"\n";
  expect_error(segments + "retention_bytes = 2097151\n",
               "3:", "topics.trade_events.retention_bytes: is less than two segments");
  EXPECT_EQ(error_of(segments + "retention_bytes = \"2 MiB\"\n"), "accepted");
  EXPECT_EQ(error_of(segments + "retention_bytes = 0\n"), "accepted");
  expect_error("[topics.trade_events]\nsegment_bytes = \"1 GiB\"\n",
               "1:", "topics.trade_events.retention_bytes: is less than two segments");
}

TEST(ConfigRelations, ALagLimitIsANumberOfEvents) {
  expect_error("[core]\nlag_limit = -1\n", "2:", "core.lag_limit: wants a whole number from 0");
  expect_error("[core]\nlag_limit = \"10 MB\"\n", "2:", "core.lag_limit: wants a whole number");
  const auto config = parse_config("[core]\nlag_limit = 5000\n", "m.toml");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->lag_limit, 5000u);
}

TEST(ConfigRelations, TheGatewayListensOnAnAddressAndAPort) {
  expect_error("[gateway]\nlisten = \"8080\"\n", "2:", "gateway.listen");
  expect_error("[gateway]\nlisten = \"127.0.0.1:http\"\n", "2:", "gateway.listen");
  expect_error("[gateway]\nlisten = \"127.0.0.1:70000\"\n", "2:", "gateway.listen");
  EXPECT_EQ(error_of("[gateway]\nlisten = \"[::1]:0\"\n"), "accepted");
  expect_error("[gateway]\nprogram = \"/nonexistent/gateway\"\n", "2:", "gateway.program");
}

TEST(ConfigRelations, KeysOfAUsersSchemaNeedOne) {
  expect_error("[topics.trade_events]\nroot = \"Trade\"\n", "2:", "topics.trade_events.root: needs a `schema`");
  expect_error("[topics.trade_events]\nkey_field = \"id\"\n", "2:", "topics.trade_events.key_field: needs a `schema`");
  expect_error("[topics.trade_events]\nevent_type = 1000\n", "2:", "topics.trade_events.event_type: needs a `schema`");
}

TEST(ConfigRelations, AUsersSchemaHasANameOfItsOwn) {
  expect_error("[topics.fills]\ntype = \"trade_events\"\nschema = \"f.fbs\"\n", "2:", "topics.fills.type");
}

TEST(ConfigRelations, EventTypesOfDifferentSchemasDiffer) {
  const std::string one = "[topics.one]\nschema = \"one.fbs\"\n", two = "[topics.two]\nschema = \"two.fbs\"\n";
  expect_error(one + "event_type = 1500\n" + two + "event_type = 1500\n", "6:", "topics.two.event_type");
  const auto config = parse_config(one + "event_type = 1001\n" + two, "m.toml");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_NE(config->topics[0].event_type, config->topics[1].event_type) << "given numbers are kept free";
}

TEST(ConfigRelations, ASchemaIsLookedForBesideTheConfigurationAndMustBeThere) {
  const auto folder = std::filesystem::temp_directory_path() / ("millrace-config-" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  const std::string path = folder / "m.toml";
  std::ofstream(path) << "[topics.fills]\nschema = \"fills.fbs\"\n";
  const auto missing = load_config(path);
  ASSERT_FALSE(missing);
  EXPECT_NE(missing.error().message.find("m.toml:2:"), std::string::npos) << missing.error().message;
  EXPECT_NE(missing.error().message.find((folder / "fills.fbs").string()), std::string::npos);
  std::ofstream(folder / "fills.fbs") << "table Fill { id:ulong; }\nroot_type Fill;\n";
  const auto config = load_config(path);
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(config->topics[0].schema, (folder / "fills.fbs").string());
  std::filesystem::remove_all(folder);
}

TEST(ConfigRelations, WhatDevShmCannotHoldIsRefusedWithBothNumbers) {
  const Config config = default_config();
  EXPECT_TRUE(check_memory(config, 1ull << 30));
  const Status refused = check_memory(config, 100'000'000);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::no_space);
  EXPECT_NE(refused.error().message.find("100.0 MB"), std::string::npos) << refused.error().message;
  EXPECT_NE(refused.error().message.find("169."), std::string::npos) << refused.error().message;
}

TEST(ConfigRelations, RingsOfOneSizeBeyondFourGibAreRefusedAcrossTopics) {
  Config config = default_config();
  const std::uint64_t plenty = 1ull << 40;
  config.topics[0].ring_bytes = config.topics[1].ring_bytes = 2ull << 30;
  const Status refused = check_memory(config, plenty);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::too_large);
  EXPECT_NE(refused.error().message.find("trade_events, account_events"), std::string::npos) << refused.error().message;
  config.topics[1].ring_bytes += 1 << 20;
  EXPECT_TRUE(check_memory(config, plenty)) << "two pools of iceoryx";
}

TEST(ConfigRelations, TheCheckShowsTheSizeOfDevShm) {
  EXPECT_NE(print_check(default_config()).find("/dev/shm"), std::string::npos);
}

}  // namespace
}  // namespace millrace::daemon
