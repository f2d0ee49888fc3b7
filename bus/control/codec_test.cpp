// Proves that messages survive encoding, and that the core takes from a client nothing but whole, sensible requests,
// however its bytes were made.
#include "bus/control/codec.hpp"

#include <gtest/gtest.h>

#include <random>
#include <string>

namespace millrace::control {
namespace {

std::span<const std::byte> bytes_of(const flatbuffers::FlatBufferBuilder& builder) {
  return std::as_bytes(std::span(builder.GetBufferPointer(), builder.GetSize()));
}

std::vector<std::byte> a_request() {
  AttachPublisherT request;
  request.topic = "trade_events";
  request.publisher_name = "matching";
  request.take_over = true;
  return encode(make_message(std::move(request), 7));
}

TEST(ControlCodec, ARequestComesOutAsItWentIn) {
  const auto message = decode_request(a_request());
  ASSERT_TRUE(message) << message.error().message;
  EXPECT_EQ(message->correlation, 7u);
  const AttachPublisherT* request = message->body.AsAttachPublisher();
  ASSERT_NE(request, nullptr);
  EXPECT_EQ(request->topic, "trade_events");
  EXPECT_EQ(request->publisher_name, "matching");
  EXPECT_TRUE(request->take_over);
}

TEST(ControlCodec, AnIncarnationComesOutAsItWentIn) {
  const Incarnation incarnation{random_uuid_bytes()};
  HelloT hello;
  hello.incarnation = std::make_unique<Uuid>(to_wire(incarnation));
  const auto message = decode_request(encode(make_message(std::move(hello))));
  ASSERT_TRUE(message);
  EXPECT_EQ(from_wire<Incarnation>(*message->body.AsHello()->incarnation), incarnation);
}

TEST(ControlCodec, EachErrorCodeIsTheSameOnBothSides) {
  for (int code = 0; code <= static_cast<int>(millrace::ErrorCode::internal); ++code) {
    const Error error{static_cast<millrace::ErrorCode>(code), "why"};
    const auto message = decode(encode(make_error(error, 3)));
    ASSERT_TRUE(message);
    EXPECT_EQ(to_error(*message->body.AsErrorAnswer()).code, error.code);
    EXPECT_EQ(EnumNameErrorCode(static_cast<ErrorCode>(code)), to_string(error.code));
  }
}

TEST(ControlCodec, NoPartOfAMessageIsAMessage) {
  const std::vector<std::byte> whole = a_request();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const std::vector<std::byte> part(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    const auto message = decode_request(part);
    // Only padding may be missing.
    if (message) {
      EXPECT_EQ(message->body.AsAttachPublisher()->topic, "trade_events") << size;
    } else {
      EXPECT_EQ(message.error().code, millrace::ErrorCode::invalid_argument) << size;
    }
    if (size < whole.size() / 2) {
      EXPECT_FALSE(message) << size;
    }
  }
}

TEST(ControlCodec, AKindWithoutABodyIsNoMessage) {
  for (int kind = 0; kind <= 255; ++kind) {
    flatbuffers::FlatBufferBuilder builder;
    FinishMessageBuffer(builder, CreateMessage(builder, 1, static_cast<Body>(kind), 0));
    EXPECT_FALSE(decode(bytes_of(builder))) << kind;
    EXPECT_FALSE(decode_request(bytes_of(builder))) << kind;
  }
}

TEST(ControlCodec, AKindThisReleaseDoesNotKnowIsNoMessage) {
  flatbuffers::FlatBufferBuilder builder;
  const auto body = CreateGetStatus(builder).Union();
  FinishMessageBuffer(builder, CreateMessage(builder, 1, static_cast<Body>(200), body));
  EXPECT_FALSE(decode(bytes_of(builder)));
  EXPECT_FALSE(decode_request(bytes_of(builder)));
}

TEST(ControlCodec, ABodyOfAnotherKindThanItSaysDoesNoHarm) {
  flatbuffers::FlatBufferBuilder builder;
  const auto body = CreateDetachSubscriber(builder, ~0ull).Union();
  FinishMessageBuffer(builder, CreateMessage(builder, 1, Body::AttachPublisher, body));
  EXPECT_FALSE(decode_request(bytes_of(builder)));  // where a string should be, there is a number
}

TEST(ControlCodec, AnswersAreNotRequestsHoweverSmallTheirBytes) {
  flatbuffers::FlatBufferBuilder builder;
  const auto text = builder.CreateString(std::string(32'000, 'x'));
  const auto topic = CreateTopicInfo(builder, text, 0, text, 0, text, text, 0, 0, StallPolicy::block, text);
  const std::vector<flatbuffers::Offset<TopicInfo>> topics(2'000, topic);  // 300 MB, unpacked
  const auto welcome = CreateWelcome(builder, 1, nullptr, builder.CreateVector(topics));
  FinishMessageBuffer(builder, CreateMessage(builder, 1, Body::Welcome, welcome.Union()));
  ASSERT_LT(builder.GetSize(), request_size_max);
  const auto message = decode_request(bytes_of(builder));
  ASSERT_FALSE(message);
  EXPECT_EQ(message.error().message, "a client does not send Welcome");
}

TEST(ControlCodec, ALevelThatDoesNotExistIsRefused) {
  AttachSubscriberT request;
  request.topic = "trade_events";
  request.level = static_cast<Level>(3);
  const auto message = decode_request(encode(make_message(std::move(request))));
  ASSERT_FALSE(message);
  EXPECT_EQ(message.error().code, millrace::ErrorCode::invalid_argument);
}

TEST(ControlCodec, ARequestBeyondItsLimitIsRefused) {
  AttachPublisherT request;
  request.topic = std::string(request_size_max, 't');
  const auto bytes = encode(make_message(std::move(request)));
  EXPECT_FALSE(decode_request(bytes));
  EXPECT_TRUE(decode(bytes));
}

TEST(ControlCodec, AlteredBytesAreRefusedOrDecodedButNeverBelieved) {
  std::mt19937_64 random(20'231'121);
  const std::vector<std::byte> whole = a_request();
  std::uint64_t refused = 0;
  for (int round = 0; round < 100'000; ++round) {
    std::vector<std::byte> bytes = whole;
    for (std::uint64_t change = 0; change <= random() % 4; ++change) {
      bytes[random() % bytes.size()] = static_cast<std::byte>(random());
    }
    const auto message = decode_request(bytes);
    if (!message) {
      ++refused;
      continue;
    }
    ASSERT_NE(message->body.value, nullptr);
    ASSERT_LT(encode(*message).size(), 4 * whole.size());  // reads all of it, for the sanitizers
  }
  EXPECT_GT(refused, 10'000u);
}

}  // namespace
}  // namespace millrace::control
