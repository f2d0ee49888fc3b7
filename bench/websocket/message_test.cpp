// What the benchmark's client reads is what the gateway writes, and nothing else passes for it.
#include "bench/websocket/message.hpp"

#include <gtest/gtest.h>

#include "schemas/event_template.hpp"
#include "schemas/registry.hpp"
#include "schemas/text.hpp"
#include "subscribers/realtime/protocol.hpp"

namespace millrace::bench {
namespace {

namespace protocol = gateway::protocol;

constexpr WallTime published{1'772'415'059'999'999'999};

// Trades at offsets 7 and 8, as the gateway keeps them.
class MessageTest : public ::testing::Test {
 protected:
  MessageTest() {
    const schemas::EventTemplate<schemas::TradeEvent> trade;
    std::vector<std::byte> frame(frame_size(trade.size()));
    for (std::uint64_t i = 0; i < 2; ++i) {
      FrameHeader header{};
      header.length = static_cast<std::uint32_t>(frame_header_size + trade.size());
      header.event_type = 1;
      header.sequence = 20 + i;
      header.publish_time = published.ns + static_cast<std::int64_t>(i);
      std::memcpy(frame.data(), &header, sizeof header);
      auto* event = trade.instantiate(std::span(frame).subspan(frame_header_size));
      event->mutate_buy_order_id(40 + i);
      schemas::set_text(event->mutable_instrument(), R"({"offset":1,"\)");
      block_.append({Offset(7 + i), published, PublisherId(1), Epoch(1), FrameView(frame.data())}, type_);
    }
  }

  std::string json() {
    bool made = false;
    std::string text = protocol::events_prefix(1, "trade_events", Offset(7), Offset(9), 2);
    text += block_.json(0, type_, made);
    text += ',';
    text += block_.json(1, type_, made);
    return text += protocol::events_suffix;
  }
  std::string binary() {
    const auto header = protocol::binary_header(1, Offset(7), Offset(9), 2, published);
    std::string bytes(header.data(), header.size());
    for (std::size_t i = 0; i < 2; ++i) {
      protocol::append_binary_event(Offset(7 + i), block_.entry(i), block_.frame(i), bytes);
    }
    return bytes;
  }
  void expect_both(const std::optional<Message>& message) {
    ASSERT_TRUE(message);
    EXPECT_EQ(message->type, "events");
    EXPECT_EQ(message->first_offset, 7u);
    EXPECT_EQ(message->next_offset, 9u);
    EXPECT_EQ(message->count, 2u);
    ASSERT_EQ(events_.size(), 2u);
    for (std::uint64_t i = 0; i < 2; ++i) {
      EXPECT_EQ(events_[i].offset, 7 + i);
      EXPECT_EQ(events_[i].sequence, 20 + i);
      EXPECT_EQ(events_[i].published.ns, published.ns + static_cast<std::int64_t>(i));  // in two minutes
      EXPECT_EQ(events_[i].buy_order_id, 40 + i);
    }
  }

  const schemas::Registry registry_ = schemas::Registry::built_in();
  const schemas::EventType& type_ = *registry_.find("trade_events");
  gateway::EventBlock block_;
  std::vector<Seen> events_;
};

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

TEST_F(MessageTest, EventsAsJsonAreReadWhateverTheirTextsSay) {
  expect_both(read_text(json(), events_));
}

TEST_F(MessageTest, EventsAsBinaryAreReadWhereverTheyLie) {
  const std::string shifted = "." + binary();
  expect_both(read_binary(bytes_of(shifted).subspan(1), events_));
}

TEST_F(MessageTest, NoBeginningOfAMessageIsAMessage) {
  const std::string text = json();
  for (std::size_t size = 0; size < text.size(); ++size) {
    EXPECT_FALSE(read_text(std::string_view(text).substr(0, size), events_)) << size;
  }
  EXPECT_FALSE(read_text(text + "}", events_));
  const std::string bytes = binary();
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(read_binary(bytes_of(bytes).first(size), events_)) << size;
  }
}

TEST_F(MessageTest, FramesOfAllThreeSizesAreFound) {
  for (const std::size_t size : {0u, 125u, 126u, 65'535u, 65'536u}) {
    std::string bytes = "\x82";
    if (size < 126) {
      bytes += static_cast<char>(size);
    } else if (size < 65'536) {
      bytes += {126, static_cast<char>(size >> 8), static_cast<char>(size & 255)};
    } else {
      bytes += {127, 0, 0, 0, 0, 0, 1, 0, 0};
    }
    WsFrame frame;
    for (std::size_t some = 0; some < bytes.size(); ++some) {
      EXPECT_EQ(find_frame(bytes_of(bytes).first(some), frame), WsFound::incomplete);
    }
    ASSERT_EQ(find_frame(bytes_of(bytes), frame), WsFound::frame);
    EXPECT_EQ(frame.opcode, WsFrame::binary);
    EXPECT_EQ(frame.header_size, bytes.size());
    EXPECT_EQ(frame.payload_size, size);
  }
  WsFrame frame;
  EXPECT_EQ(find_frame(bytes_of("\x02\x05"), frame), WsFound::broken);  // more of it is to come
  EXPECT_EQ(find_frame(bytes_of("\x82\x85"), frame), WsFound::broken);  // masked
}

}  // namespace
}  // namespace millrace::bench
