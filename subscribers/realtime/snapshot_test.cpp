// Proves that a WebSocket subscription which asks for a snapshot is sent the latest event of each key before its start,
// a mark at its end, and then every event from there on: whatever the start, the format and the filter, and while
// events flow.
#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <thread>

#include "subscribers/realtime/protocol.hpp"
#include "subscribers/realtime/testing/with_gateway.hpp"

namespace millrace::gateway {
namespace {

using client::WsClient;
namespace json = boost::json;

class SnapshotSessionTest : public testing::WithGateway {
 protected:
  SnapshotSessionTest() : WithGateway({"trade_events", "account_events"}) {}
  // Trades of A, B, C, A, B, C ...
  void publish(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      source_.publish_numbered(0, std::string(1, static_cast<char>('A' + published_++ % 3)));
    }
  }
  struct Snapshot {
    std::vector<std::uint64_t> offsets;
    std::uint64_t as_of = 0;
    int messages = 0;
  };
  // To its end, which nothing but snapshot messages may come before.
  static Snapshot receive_snapshot(WsClient& client) {
    Snapshot snapshot;
    for (bool last = false; !last;) {
      const auto message = client.receive_type("snapshot");
      EXPECT_EQ(message.at("count").to_number<std::size_t>(), message.at("events").as_array().size());
      for (const auto& event : message.at("events").as_array()) {
        snapshot.offsets.push_back(event.at("offset").to_number<std::uint64_t>());
      }
      snapshot.as_of = message.at("as_of").to_number<std::uint64_t>();
      last = message.at("last").as_bool();
      ++snapshot.messages;
    }
    return snapshot;
  }

  std::size_t published_ = 0;
};

using Offsets = std::vector<std::uint64_t>;

TEST_F(SnapshotSessionTest, ComesBeforeWhatIsRecordedFromNowOn) {
  publish(10);
  start();
  WsClient client(gateway_->port());
  client.send(R"({"op":"subscribe","topic":"trade_events","snapshot":true})");
  const auto answer = client.receive_type("subscribed");
  EXPECT_EQ(answer.at("first_offset"), 10);
  EXPECT_EQ(answer.at("snapshot"), true);
  const Snapshot snapshot = receive_snapshot(client);
  EXPECT_EQ(snapshot.offsets, (Offsets{7, 8, 9}));
  EXPECT_EQ(snapshot.as_of, 10u);
  publish(2);
  const auto events = client.receive_events(2);
  EXPECT_EQ(events[0].at("offset"), 10);
  EXPECT_EQ(events[1].at("offset"), 11);
}

TEST_F(SnapshotSessionTest, OfAStartInTheLogNeedsOneReadAtATime) {
  options_.replays_max = 1;
  options_.cache_events = 4;
  publish(30);
  start();
  WsClient client(gateway_->port());
  client.send(R"({"op":"subscribe","topic":"trade_events","start":{"offset":14},"snapshot":true})");
  EXPECT_EQ(receive_snapshot(client).offsets, (Offsets{11, 12, 13}));
  EXPECT_EQ(client.receive_events(16).front().at("offset"), 14);
}

TEST_F(SnapshotSessionTest, OfAStartInTheLogIsAsOfThatStart) {
  options_.cache_events = 4;
  publish(30);
  start();
  WsClient client(gateway_->port());
  client.send(R"({"op":"subscribe","topic":"trade_events","start":{"offset":14},"snapshot":true})");
  EXPECT_EQ(client.receive_type("subscribed").at("snapshot"), true);
  const Snapshot snapshot = receive_snapshot(client);
  EXPECT_EQ(snapshot.offsets, (Offsets{11, 12, 13}));
  EXPECT_EQ(snapshot.as_of, 14u);
  const auto events = client.receive_events(16);
  for (std::size_t i = 0; i < events.size(); ++i) EXPECT_EQ(events[i].at("offset").to_number<std::uint64_t>(), 14 + i);
}

TEST_F(SnapshotSessionTest, AnEmptyOneEndsTooAndAFilterHoldsForIt) {
  start();
  WsClient empty(gateway_->port());
  empty.send(R"({"op":"subscribe","topic":"trade_events","start":"earliest","snapshot":true})");
  EXPECT_EQ(receive_snapshot(empty).offsets, Offsets{});
  publish(9);
  EXPECT_EQ(empty.receive_events(9).size(), 9u);
  WsClient filtered(gateway_->port());
  filtered.send(
      R"({"op":"subscribe","topic":"trade_events","filter":{"instrument":["B","X"]},"snapshot":true,"start":{"offset":9}})");
  EXPECT_EQ(receive_snapshot(filtered).offsets, Offsets{7});
}

TEST_F(SnapshotSessionTest, HasOneOfEachAccountAndCurrencyAndMayTakeSeveralMessages) {
  options_.message_size_max = 1024;
  for (int i = 0; i < 100; ++i) {
    source_.publish(
        1, R"({"account":"a)" + std::to_string(i % 10) + R"(","currency":")" + (i % 20 < 10 ? "CNY" : "USD") + "\"}");
  }
  start();
  WsClient client(gateway_->port());
  client.send(R"({"op":"subscribe","topic":"account_events","snapshot":true,"level":"synced"})");
  const Snapshot snapshot = receive_snapshot(client);
  EXPECT_GT(snapshot.messages, 3);
  ASSERT_EQ(snapshot.offsets.size(), 20u);
  for (std::size_t i = 0; i < 20; ++i) EXPECT_EQ(snapshot.offsets[i], 80 + i);
}

TEST_F(SnapshotSessionTest, InBinaryHasItsOwnKindOfHeader) {
  publish(5);
  start();
  WsClient client(gateway_->port());
  client.send(R"({"op":"subscribe","topic":"trade_events","format":"binary","snapshot":true})");
  EXPECT_EQ(client.receive_type("subscribed").at("snapshot"), true);
  const auto message = client.receive();
  ASSERT_TRUE(message && client.last_was_binary());
  const std::string& bytes = *message;
  protocol::BinaryBatchHeader header;
  ASSERT_GT(bytes.size(), sizeof header);
  std::memcpy(&header, bytes.data(), sizeof header);
  EXPECT_EQ(header.common.magic, protocol::binary_magic);
  EXPECT_EQ(header.common.header_size, sizeof header);
  EXPECT_EQ(header.common.count, 3u);
  EXPECT_EQ(header.common.first_offset, 5u);
  EXPECT_EQ(header.common.next_offset, 5u);
  EXPECT_EQ(header.kind, protocol::binary_snapshot);
  EXPECT_EQ(header.detail, 1u);
  protocol::BinaryEntry entry;
  std::memcpy(&entry, bytes.data() + sizeof header, sizeof entry);
  EXPECT_EQ(entry.offset, 2u);
}

TEST_F(SnapshotSessionTest, WithWhatFollowsItIsTheFullStateWhileEventsFlow) {
  options_.cache_events = 64;
  start();
  std::atomic<bool> stop{false};
  std::thread publisher([&] {
    while (!stop) {
      publish(1);
      std::this_thread::yield();
    }
  });
  for (int i = 0; i < 8; ++i) {
    WsClient client(gateway_->port());
    client.send(R"({"op":"subscribe","topic":"trade_events","snapshot":true})");
    const auto first = client.receive_type("subscribed").at("first_offset").to_number<std::uint64_t>();
    const Snapshot snapshot = receive_snapshot(client);
    EXPECT_EQ(snapshot.as_of, first);
    Offsets expected;
    for (std::uint64_t offset = first < 3 ? 0 : first - 3; offset < first; ++offset) expected.push_back(offset);
    EXPECT_EQ(snapshot.offsets, expected);
    const auto events = client.receive_events(50);
    for (std::size_t k = 0; k < 50; ++k) EXPECT_EQ(events[k].at("offset").to_number<std::uint64_t>(), first + k);
  }
  stop = true;
  publisher.join();
}

TEST_F(SnapshotSessionTest, WhatIsNoBooleanIsRefused) {
  start();
  WsClient client(gateway_->port());
  client.send(R"({"op":"subscribe","topic":"trade_events","snapshot":1})");
  EXPECT_EQ(client.receive_type("error").at("code"), "bad_snapshot");
}

}  // namespace
}  // namespace millrace::gateway
