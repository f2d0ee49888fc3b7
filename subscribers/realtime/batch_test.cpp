// Proves what a subscription of batches may rely on: a batch ends by age, count or bytes, holds every event once and in
// order, is acknowledged as a whole, and comes again with the same end or a later one, from memory or from the log.
#include <gtest/gtest.h>

#include <cstring>
#include <thread>

#include "subscribers/realtime/protocol.hpp"
#include "subscribers/realtime/testing/with_gateway.hpp"

namespace millrace::gateway {
namespace {

using client::WsClient;
using testing::number;
namespace json = boost::json;

constexpr std::string_view never = R"("age_ms":60000)";  // the age that no test waits for

class BatchTest : public testing::WithGateway {
 protected:
  BatchTest() { options_.heartbeat = std::chrono::milliseconds(10); }
  // What comes at once, as far as clients can tell: the feeder hands it over together.
  void publish_together(std::size_t count, std::string_view instrument = "A") {
    source_.hold_poll(true);
    publish(count, instrument);
    source_.hold_poll(false);
  }
  // `batch`: its bounds; `fields`: beside these, each with a comma before it.
  static json::value subscribe(WsClient& client, const std::string& batch, const std::string& fields = "") {
    client.send(R"({"op":"subscribe","topic":"trade_events","mode":"batched","batch":{)" + batch + "}" + fields + "}");
    return client.receive_type("subscribed");
  }
  // The next batch, whose events are checked against what it says of itself.
  static json::value next_batch(WsClient& client) {
    json::value batch = client.receive_type("batch");
    if (batch.is_null()) {
      ADD_FAILURE() << "no batch came";
      return {{"first_offset", 0}, {"next_offset", 0}, {"count", 0}, {"closed_by", ""}, {"events", json::array()}};
    }
    const auto& events = batch.at("events").as_array();
    EXPECT_EQ(events.size(), number(batch, "count"));
    std::uint64_t next = number(batch, "first_offset");
    for (const auto& event : events) {
      EXPECT_GE(number(event, "offset"), next);
      next = number(event, "offset") + 1;
    }
    EXPECT_LE(next, number(batch, "next_offset"));
    return batch;
  }
  static void expect_batch(WsClient& client, std::uint64_t first, std::uint64_t next, std::string_view closed_by) {
    const auto batch = next_batch(client);
    EXPECT_EQ(number(batch, "first_offset"), first);
    EXPECT_EQ(number(batch, "next_offset"), next);
    EXPECT_EQ(number(batch, "count"), next - first);
    EXPECT_EQ(batch.at("closed_by"), json::string_view(closed_by.data(), closed_by.size()));
  }
  static std::string ack(WsClient& client, std::uint64_t next) {
    client.send(R"({"op":"ack","subscription":1,"next_offset":)" + std::to_string(next) + "}");
    for (;;) {
      const auto message = client.receive();
      if (!message) return "closed";
      const auto answer = json::parse(*message);
      if (answer.at("type") == "acked") return "acked";
      if (answer.at("type") == "error") return answer.at("code").as_string().c_str();
    }
  }
};

TEST_F(BatchTest, IsClosedByCountAndTheRestIsHeldBack) {
  start();
  WsClient client = connect();
  const auto answer = subscribe(client, std::string(never) + R"(,"count":10)");
  EXPECT_EQ(answer.at("mode"), "batched");
  EXPECT_EQ(number(answer.at("batch"), "age_ms"), 60'000u);
  EXPECT_EQ(number(answer.at("batch"), "count"), 10u);
  EXPECT_EQ(number(answer.at("batch"), "bytes"), 128u * 1024u);
  publish(25);
  expect_batch(client, 0, 10, "count");
  expect_batch(client, 10, 20, "count");
  expect_quiet_at(client, 20);
  publish(5);
  expect_batch(client, 20, 30, "count");
  expect_quiet_at(client, 30);
}

TEST_F(BatchTest, IsClosedByAge) {
  start();
  WsClient client = connect();
  subscribe(client, R"("age_ms":20)");
  for (std::uint64_t round = 0; round < 5; ++round) {
    publish_together(3);
    expect_batch(client, 3 * round, 3 * round + 3, "age");
  }
}

TEST_F(BatchTest, TwoOfOneSessionGrowOldEachByItself) {
  start();
  WsClient client = connect();
  subscribe(client, never.data());
  client.send(R"({"op":"subscribe","topic":"market_l2","mode":"batched","batch":{"age_ms":1}})");
  client.expect("subscribed");
  client.send(R"({"op":"subscribe","topic":"trade_events","mode":"batched","batch":{"age_ms":50}})");
  client.expect("subscribed");
  for (int round = 0; round < 3; ++round) {
    publish_together(2);
    EXPECT_EQ(number(next_batch(client), "subscription"), 3u);
    source_.publish_numbered(1, "A");
    EXPECT_EQ(number(next_batch(client), "subscription"), 2u);
  }
}

TEST_F(BatchTest, IsClosedByTheEventThatReachesItsBytes) {
  start();
  WsClient client = connect();
  subscribe(client, std::string(never) + R"(,"bytes":1024)");
  publish(20);
  std::uint64_t next = 0;
  while (next < 16) {
    const auto batch = next_batch(client);
    ASSERT_EQ(number(batch, "first_offset"), next);
    EXPECT_EQ(batch.at("closed_by"), "bytes");
    const auto& events = batch.at("events").as_array();
    std::size_t bytes = 0;
    for (const auto& event : events) bytes += json::serialize(event).size() + 1;
    const std::size_t last = json::serialize(events.back()).size() + 1;
    EXPECT_GE(bytes, 1024u);
    EXPECT_LT(bytes - last, 1024u + 8u);
    next = number(batch, "next_offset");
  }
}

TEST_F(BatchTest, WhatIsFilteredAwayIsNotWaitedForAndMovesThePlace) {
  start();
  WsClient client = connect();
  subscribe(client, std::string(never) + R"(,"count":3)", R"(,"filter":{"instrument":"B"})");
  publish(50);
  while (number(client.receive_type("heartbeat"), "next_offset") < 50) {
  }
  publish(2, "B");
  publish(5);
  publish(1, "B");
  publish(2);
  const auto batch = next_batch(client);
  EXPECT_EQ(number(batch, "first_offset"), 50u);
  EXPECT_EQ(number(batch, "next_offset"), 58u);
  EXPECT_EQ(number(batch, "count"), 3u);
  while (number(client.receive_type("heartbeat"), "next_offset") < 60) {
  }
}

TEST_F(BatchTest, ABinaryOneNamesItsRangeAndWhatClosedIt) {
  start();
  WsClient client = connect();
  subscribe(client, std::string(never) + R"(,"count":4)", R"(,"format":"binary")");
  publish(4);
  std::optional<std::string> message;
  do {
    message = client.receive();
  } while (message && !client.last_was_binary());
  ASSERT_TRUE(message);
  protocol::BinaryBatchHeader header{};
  ASSERT_GE(message->size(), sizeof header);
  std::memcpy(&header, message->data(), sizeof header);
  EXPECT_EQ(header.common.magic, protocol::binary_magic);
  ASSERT_EQ(header.common.header_size, 48u);
  EXPECT_EQ(header.common.first_offset, 0u);
  EXPECT_EQ(header.common.next_offset, 4u);
  EXPECT_EQ(header.common.count, 4u);
  EXPECT_EQ(header.kind, protocol::binary_batch);
  EXPECT_EQ(header.detail, static_cast<std::uint32_t>(protocol::ClosedBy::count));
  std::size_t at = header.common.header_size;
  for (std::uint64_t offset = 0; offset < 4; ++offset) {
    protocol::BinaryEntry entry{};
    ASSERT_LE(at + sizeof entry, message->size());
    std::memcpy(&entry, message->data() + at, sizeof entry);
    EXPECT_EQ(entry.offset, offset);
    at += header.common.entry_header_size + entry.frame_size;
  }
  EXPECT_EQ(at, message->size());
}

TEST_F(BatchTest, OfTheLogAreFullButTheLastWhichEndsWhereTheLogDoes) {
  publish(2'000);
  start();  // nothing of it is in memory
  WsClient client = connect();
  subscribe(client, std::string(never) + R"(,"count":300)", R"(,"start":"earliest")");
  for (std::uint64_t first = 0; first < 1'800; first += 300) expect_batch(client, first, first + 300, "count");
  expect_batch(client, 1'800, 2'000, "log");
  publish(300);
  expect_batch(client, 2'000, 2'300, "count");
}

TEST_F(BatchTest, OneOfTheLogIsFullAlsoWhereTheFilterLetsLittlePass) {
  for (int i = 0; i < 3; ++i) {
    publish(1, "B");
    publish(70'000);
  }
  start();
  WsClient client = connect();
  subscribe(client, std::string(never) + R"(,"count":2)", R"(,"start":"earliest","filter":{"instrument":"B"})");
  auto batch = next_batch(client);
  EXPECT_EQ(number(batch, "first_offset"), 0u);
  EXPECT_EQ(number(batch, "next_offset"), 70'002u);
  EXPECT_EQ(number(batch, "count"), 2u);
  batch = next_batch(client);
  EXPECT_EQ(number(batch.at("events").as_array().at(0), "offset"), 140'002u);
  EXPECT_EQ(number(batch, "next_offset"), 210'003u);
}

TEST_F(BatchTest, ANewRunBetweenTheTurnsOfOneLosesNothing) {
  for (int i = 0; i < 3; ++i) {
    publish(1, "B");
    publish(70'000);
  }
  start();
  source_.hold_reads(Offset(100'000));
  WsClient client = connect();
  subscribe(client, std::string(never) + R"(,"count":4)", R"(,"start":"earliest","filter":{"instrument":"B"})");
  EXPECT_TRUE(eventually([&] { return source_.holds_a_read(); }));
  source_.begin_run(0);
  source_.hold_reads(source_.nowhere);
  EXPECT_EQ(number(client.receive_type("run"), "run"), 2u);
  const auto batch = next_batch(client);
  EXPECT_EQ(number(batch, "first_offset"), 0u);
  EXPECT_EQ(number(batch, "next_offset"), 210'003u);
  EXPECT_EQ(number(batch, "count"), 3u);
  EXPECT_EQ(gateway_->count(Counter::gaps_deleted), 0u);
}

TEST_F(BatchTest, WhatWasTakenBackBetweenTheTurnsOfOneIsNotSent) {
  source_.hold_sync(true);
  publish(1, "B");
  publish(64'999);
  publish(1, "B");  // in the first turn
  publish(55'000);
  source_.sync(0, Offset(60'000));
  start();
  source_.hold_reads(Offset(100'000));
  WsClient client = connect();
  subscribe(client, std::string(never) + R"(,"count":4)", R"(,"start":"earliest","filter":{"instrument":"B"})");
  EXPECT_TRUE(eventually([&] { return source_.holds_a_read(); }));
  source_.roll_back(0);
  publish(60'001, "C");
  source_.hold_reads(source_.nowhere);
  EXPECT_EQ(number(client.receive_type("run"), "first_offset"), 60'000u);
  const auto batch = next_batch(client);
  EXPECT_EQ(number(batch, "first_offset"), 0u);
  ASSERT_EQ(number(batch, "count"), 1u);
  EXPECT_EQ(number(batch.at("events").as_array().at(0), "offset"), 0u);
}

TEST_F(BatchTest, SessionsThatCloseAtTheSamePlaceShareTheMessage) {
  start();
  std::vector<WsClient> clients;
  for (int i = 0; i < 4; ++i) {
    clients.push_back(connect());
    subscribe(clients.back(), std::string(never) + R"(,"count":64)");
  }
  publish(64);
  for (auto& client : clients) expect_batch(client, 0, 64, "count");
  EXPECT_EQ(gateway_->count(Counter::bodies_shared), 3u);
}

TEST_F(BatchTest, IsAcknowledgedAsAWhole) {
  start();
  WsClient client = connect();
  subscribe(client, std::string(never) + R"(,"count":10)", R"(,"consumer":"risk")");
  publish(30);
  for (std::uint64_t first = 0; first < 30; first += 10) expect_batch(client, first, first + 10, "count");
  EXPECT_EQ(ack(client, 5), "ack_inside_batch");
  EXPECT_EQ(ack(client, 19), "ack_inside_batch");
  EXPECT_EQ(source_.consumer("risk")->acked, Offset(0));
  EXPECT_EQ(ack(client, 20), "acked");
  EXPECT_EQ(ack(client, 7), "acked") << "an older one changes nothing";
  EXPECT_EQ(source_.consumer("risk")->acked, Offset(20));
  EXPECT_EQ(ack(client, 21), "ack_inside_batch");
  EXPECT_EQ(ack(client, 31), "ack_ahead");
  publish(5);
  client.close();

  // What was not acknowledged comes again, and all that there is by now with it.
  WsClient heir = connect();
  EXPECT_EQ(number(subscribe(heir, R"("age_ms":1)", R"(,"consumer":"risk","take_over":true)"), "first_offset"), 20u);
  std::uint64_t next = 20;
  while (next < 35) {
    const auto batch = next_batch(heir);
    ASSERT_EQ(number(batch, "first_offset"), next);
    EXPECT_GE(number(batch, "next_offset"), 30u);
    next = number(batch, "next_offset");
  }
  EXPECT_EQ(ack(heir, 35), "acked");
}

// Whatever closed a batch, and wherever it is read from the next time.
TEST_F(BatchTest, SentAgainItEndsAtTheSamePlaceOrBehindIt) {
  options_.cache_events = 256;  // about half of them come from the log again
  start();
  WsClient client = connect();
  const std::string bounds = R"("age_ms":2,"count":40,"bytes":6000)";
  const std::string filter = R"(,"filter":{"instrument":["A","C"]})";
  subscribe(client, bounds, filter);
  struct Sent {
    std::uint64_t first;
    std::uint64_t next;
  };
  std::vector<Sent> sent;
  std::uint64_t published = 0;
  for (std::uint64_t round = 0; round < 20; ++round) {
    for (std::uint64_t i = 0; i < 1 + round * 7 % 61; ++i, ++published) {
      publish(1, std::array<std::string_view, 3>{"A", "B", "C"}[(i * i + round) % 3]);
    }
    if (round % 3 == 0) source_.skip_sequences(0, 2);
    publish(1, "A");
    ++published;
    while (sent.empty() || sent.back().next < published) {
      const auto batch = next_batch(client);
      sent.push_back({number(batch, "first_offset"), number(batch, "next_offset")});
      if (HasFailure()) return;
    }
  }
  ASSERT_GT(sent.size(), 20u);
  for (const Sent& one : sent) {
    WsClient again = connect();
    subscribe(again, bounds, filter + R"(,"start":{"offset":)" + std::to_string(one.first) + "}");
    const auto batch = next_batch(again);
    EXPECT_EQ(number(batch, "first_offset"), one.first);
    EXPECT_GE(number(batch, "next_offset"), one.next) << "a batch from " << one.first;
  }
}

TEST_F(BatchTest, ItsOwnWaitingIsNoSlowness) {
  start();
  WsClient client = connect();
  subscribe(client, std::string(never) + R"(,"count":1000,"bytes":1048576)", R"(,"slow":"disconnect","queue":100)");
  WsClient conflated = connect();
  subscribe(conflated, std::string(never) + R"(,"count":1000,"bytes":1048576)", R"(,"slow":"conflate","queue":100)");
  for (std::uint64_t published = 50; published < 1'000; published += 50) {
    publish(50);
    while (gateway_->count(Counter::events) < published) std::this_thread::yield();
    client.send(R"({"op":"ping"})");
    ASSERT_FALSE(client.receive_type("pong").is_null()) << "it is not cut off";
  }
  publish(50);
  expect_batch(client, 0, 1'000, "count");
  expect_batch(conflated, 0, 1'000, "count");
}

TEST_F(BatchTest, ItsOwnWaitingIsNoSlownessWhereMemoryMovesOnUnderIt) {
  options_.cache_events = 256;
  start();
  const std::string filter = R"(,"filter":{"instrument":"B"})";
  WsClient client = connect();
  subscribe(client, never.data(), filter + R"(,"slow":"disconnect","queue":100)");
  WsClient conflated = connect();
  subscribe(conflated, never.data(), filter + R"(,"slow":"conflate","queue":100)");
  for (std::uint64_t published = 50; published <= 2'000; published += 50) {
    publish(1, "B");
    publish(49);
    while (gateway_->count(Counter::events) < published) std::this_thread::yield();
    client.send(R"({"op":"ping"})");
    ASSERT_FALSE(client.receive_type("pong").is_null()) << "it is not cut off";
  }
  EXPECT_TRUE(eventually(Counter::replays_healed, 2)) << "memory has moved on";
  client.send(R"({"op":"books","subscription":1})");
  ASSERT_FALSE(client.receive_type("books").is_null()) << "it is not cut off";
  EXPECT_EQ(gateway_->count(Counter::conflations), 0u);
}

TEST_F(BatchTest, ItsAgeIsItsOwnAlsoWhereItsFirstEventIsSeenInAnEarlierTurn) {
  start();
  publish(1, "B");
  publish(20'000);  // more than is measured in one turn
  ASSERT_TRUE(eventually(Counter::events, 20'001));
  WsClient client = connect();
  subscribe(client, std::string(never) + R"(,"count":2)", R"(,"start":{"offset":0},"filter":{"instrument":"B"})");
  for (int i = 0; i < 3; ++i) EXPECT_EQ(number(client.receive_type("heartbeat"), "next_offset"), 0u) << "it waits";
  publish(1, "B");
  const auto batch = next_batch(client);
  EXPECT_EQ(number(batch, "first_offset"), 0u);
  EXPECT_EQ(number(batch, "count"), 2u);
}

TEST_F(BatchTest, AConflatedRangeComesInBatches) {
  for (int i = 0; i < 100; ++i) publish(1, "K" + std::to_string(i % 25));
  start();
  WsClient client = connect();
  subscribe(client, std::string(never) + R"(,"count":10)", R"(,"start":"earliest","slow":"conflate","queue":20)");
  std::size_t events = 0;
  for (const std::size_t count : {10u, 10u, 5u}) {
    const auto batch = next_batch(client);
    EXPECT_EQ(number(batch, "count"), count);
    events += batch.at("events").as_array().size();
  }
  EXPECT_EQ(events, 25u);
  expect_quiet_at(client, 100);
}

TEST_F(BatchTest, ANewRunIsToldAndWhatWasTakenBackIsNotSent) {
  source_.hold_sync(true);
  start();
  WsClient client = connect();
  subscribe(client, std::string(never) + R"(,"count":10)");
  publish(5);
  source_.sync(0, Offset(3));
  client.send(R"({"op":"ping"})");
  client.expect("pong");
  source_.roll_back(0);
  publish(7, "B");
  const auto batch = next_batch(client);
  EXPECT_EQ(number(batch, "first_offset"), 0u);
  ASSERT_EQ(number(batch, "next_offset"), 10u);
  const auto& events = batch.at("events").as_array();
  for (std::size_t i = 0; i < events.size(); ++i) {
    EXPECT_EQ(events[i].at("data").at("instrument"), i < 3 ? "A" : "B");
  }
}

}  // namespace
}  // namespace millrace::gateway
