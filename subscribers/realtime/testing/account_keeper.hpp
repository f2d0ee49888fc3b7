// A client that keeps its own books of one subscription: what was sent, and what it was told that it was not sent.
#pragma once

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "subscribers/realtime/client/ws_client.hpp"
#include "subscribers/realtime/protocol.hpp"

namespace millrace::gateway::testing {

class AccountKeeper {
 public:
  struct Left {
    std::uint64_t from;
    std::uint64_t to;  // included
    std::uint64_t count;
    std::uint64_t merged_to;  // where it was conflated
  };
  struct NotRecorded {
    std::uint64_t from_sequence;
    std::uint64_t to_sequence;
    std::uint64_t before_offset;
    bool operator==(const NotRecorded&) const = default;
  };

  // `fields`: of the subscribe request, beside op and topic, each with a comma before it.
  AccountKeeper(std::uint16_t port, const std::string& fields, int receive_buffer = 0)
      : client_(port, {.receive_buffer = receive_buffer, .origin = {}}) {
    client_.send(R"({"op":"subscribe","topic":"trade_events")" + fields + "}");
    subscribed = client_.receive_type("subscribed");
    if (subscribed.is_null()) {
      ADD_FAILURE() << "not subscribed with " << fields;
      return;
    }
    first = number(subscribed, "first_offset");
  }

  // Takes one message. False once the subscription has ended: by an error, or with the connection.
  bool one() {
    if (ended) return false;
    const auto message = client_.receive();
    if (!message) return end("closed");
    return client_.last_was_binary() ? take_binary(*message) : take(boost::json::parse(*message));
  }
  // Reads on until the gateway's books reach `offset`. False as one().
  bool until(std::uint64_t offset) {
    for (;;) {
      books = nullptr;
      client_.send(R"({"op":"books","subscription":1})");
      while (books.is_null()) {
        if (!one()) return false;
      }
      if (number(books, "next_offset") >= offset) return true;
    }
  }
  void unsubscribe() {
    client_.send(R"({"op":"unsubscribe","subscription":1})");
    while (one()) {
    }
  }
  // After the end: what the connection's last word was.
  [[nodiscard]] std::uint16_t close_code() {
    while (client_.receive()) {
    }
    return client_.close_code();
  }

  // What `account` says, as what this client saw says. `account`: of `books`, `unsubscribed` or the last error.
  void expect_balance(const boost::json::value& account) const {
    const auto& entries = account.at("books");
    const auto sum = [](const std::vector<Left>& all) {
      std::uint64_t total = 0;
      for (const Left& left : all) total += left.count;
      return total;
    };
    std::uint64_t missing = 0;
    for (const NotRecorded& one : not_recorded) missing += one.to_sequence - one.from_sequence + 1;
    EXPECT_EQ(number(account, "first_offset"), first);
    EXPECT_EQ(number(entries, "published"), number(account, "next_offset") - first) << account;
    EXPECT_EQ(number(entries, "delivered") + number(entries, "healed") + number(entries, "filtered") +
                  number(entries, "conflated") + number(entries, "skipped"),
              number(entries, "published"))
        << account;
    EXPECT_EQ(number(entries, "delivered") + number(entries, "healed"), offsets.size()) << account;
    EXPECT_EQ(number(entries, "conflated"), sum(conflated)) << account;
    EXPECT_EQ(number(entries, "skipped"), sum(deleted)) << account;
    EXPECT_EQ(number(entries, "not_recorded"), missing) << account;
  }

  [[nodiscard]] static std::uint64_t number(const boost::json::value& object, const char* field) {
    return object.at(field).to_number<std::uint64_t>();
  }

  boost::json::value subscribed;
  std::uint64_t first = 0;
  std::vector<std::uint64_t> offsets;  // of the events sent
  std::vector<Left> conflated;
  std::vector<Left> deleted;
  std::vector<NotRecorded> not_recorded;
  boost::json::value books;  // the last answer
  boost::json::value last;   // the error that ended it, or `unsubscribed`
  std::optional<std::string> ended;

 private:
  bool end(const std::string& why) {
    ended = why;
    return false;
  }
  bool take(const boost::json::value& message) {
    const std::string type = message.at("type").as_string().c_str();
    if (type == "events") {
      for (const auto& event : message.at("events").as_array()) offsets.push_back(number(event, "offset"));
    } else if (type == "gap") {
      take_gap(message);
    } else if (type == "books") {
      books = message;
    } else if (type == "unsubscribed") {
      last = message;
      return end(type);
    } else if (type == "error") {
      last = message;
      return end(message.at("code").as_string().c_str());
    } else {
      EXPECT_EQ(type, "heartbeat");
    }
    return true;
  }
  void take_gap(const boost::json::value& gap) {
    EXPECT_EQ(number(gap, "subscription"), 1u);
    EXPECT_EQ(gap.at("topic"), "trade_events");
    const auto& reason = gap.at("reason");
    if (reason == "not_recorded") {
      EXPECT_EQ(number(gap, "publisher"), 1u);
      EXPECT_EQ(number(gap, "count"), number(gap, "to_sequence") - number(gap, "from_sequence") + 1);
      not_recorded.push_back({number(gap, "from_sequence"), number(gap, "to_sequence"), number(gap, "before_offset")});
      return;
    }
    Left left{number(gap, "from"), number(gap, "to"), number(gap, "count"), 0};
    if (reason == "conflated") {
      left.merged_to = number(gap, "merged_to");
      conflated.push_back(left);
    } else {
      EXPECT_EQ(reason, "deleted");
      EXPECT_EQ(left.count, left.to - left.from + 1);
      deleted.push_back(left);
    }
  }
  bool take_binary(const std::string& message) {
    protocol::BinaryHeader header{};
    std::memcpy(&header, message.data(), sizeof header);
    EXPECT_EQ(header.magic, protocol::binary_magic);
    for (std::size_t at = header.header_size; at < message.size();) {
      protocol::BinaryEntry entry{};
      std::memcpy(&entry, message.data() + at, sizeof entry);
      offsets.push_back(entry.offset);
      at += header.entry_header_size + entry.frame_size;
    }
    return true;
  }

  client::WsClient client_;
};

}  // namespace millrace::gateway::testing
