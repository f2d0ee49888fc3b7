// Keeps the control socket of one Bus: sends requests, hands out answers, and after the core's death connects to the
// next one and attaches every publisher and subscriber again. Its thread sleeps in poll() and costs nothing meanwhile.
#pragma once

#include <sys/eventfd.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "bus/attachment.hpp"
#include "bus/bus.hpp"
#include "bus/control/codec.hpp"
#include "bus/control/socket.hpp"

namespace millrace {

// What a subscription asks of the core.
struct SubscriberRequest {
  Level level = Level::live;
  std::string consumer{};  // a durable one's name
  bool take_over = false;
  std::optional<Offset> start{};  // where a new durable consumer begins; at the synced end without one
  std::uint64_t generation = 0;   // a durable consumer's that comes back
};

class Conductor {
 public:
  explicit Conductor(BusOptions options);
  ~Conductor();

  // Waits for the first core. Errors: as Bus::connect.
  [[nodiscard]] Status start();

  [[nodiscard]] bool connected() const { return connected_.load(std::memory_order_acquire); }
  [[nodiscard]] std::vector<TopicDescription> topics() const;
  [[nodiscard]] const schemas::Registry& registry() const { return registry_; }

  [[nodiscard]] Result<Attached<PublisherAttachment>> attach_publisher(const std::string& topic,
                                                                       const std::string& name, bool take_over);
  [[nodiscard]] Result<Attached<SubscriberAttachment>> attach_subscriber(const std::string& topic,
                                                                         const SubscriberRequest& request);
  [[nodiscard]] Result<control::StatusReportT> status();
  // Asks for something that is answered by Done.
  [[nodiscard]] Status command(const control::MessageT& message);

 private:
  struct Answer {
    control::MessageT message;
    std::vector<UniqueFd> fds;
    Incarnation core;  // who gave it
  };
  using OnAnswer = std::function<void(Result<Answer>)>;
  struct Request {
    control::MessageT message;
    OnAnswer on_answer;
  };
  // What is attached again to the next core.
  struct PublisherSeat {
    std::string topic;
    std::string name;
    std::weak_ptr<PublisherLink> link;
  };
  struct SubscriberSeat {
    std::string topic;
    SubscriberRequest request;
    std::weak_ptr<SubscriberLink> link;
  };

  // From any thread: asks the core and waits for its answer. `take` is called with an answer that is no error, on the
  // conductor's thread: what it enters is known when the core goes. One that comes after the time-out is given back.
  using Take = std::function<void(const Answer&)>;
  [[nodiscard]] Result<Answer> ask(const control::MessageT& message, const Take& take = nullptr);

  // The conductor's thread.
  void run();
  void connect();
  void serve();
  void lose();
  void wait(int socket, std::chrono::milliseconds time);
  void send(control::MessageT message, OnAnswer on_answer);
  void on_message(Answer answer);
  void on_welcome(const control::WelcomeT& welcome);
  void attach_again();
  void detach_forgotten();
  void give_back(const control::MessageT& asked, const Result<Answer>& answer);

  [[nodiscard]] Result<std::shared_ptr<PublisherAttachment>> publisher_from(Answer& answer) const;
  [[nodiscard]] Result<std::shared_ptr<SubscriberAttachment>> subscriber_from(const Answer& answer) const;

  BusOptions options_;
  Incarnation incarnation_{random_uuid_bytes()};
  schemas::Registry registry_ = schemas::Registry::built_in();
  std::atomic<bool> stopping_{false};
  std::atomic<bool> connected_{false};

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Request> requests_;  // not yet sent
  std::vector<TopicDescription> topics_;
  std::vector<PublisherSeat> publishers_;
  std::vector<SubscriberSeat> subscribers_;
  std::optional<Error> refused_;  // why the core will not have us

  // Subscriptions whose memory no subscriber holds any more. Shared with what is handed out, which may outlive us.
  struct GivenBack {
    struct Subscription {
      Incarnation core;  // whose number it is: the next core's are others
      std::uint64_t id;
    };
    UniqueFd wake{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};  // the conductor's thread
    std::mutex mutex;
    std::vector<Subscription> subscriptions;
  };
  std::shared_ptr<GivenBack> given_back_ = std::make_shared<GivenBack>();

  // The conductor's thread only.
  std::optional<control::Connection> connection_;
  Incarnation core_;  // that welcomed us last
  std::uint64_t correlation_ = 0;
  std::map<std::uint64_t, OnAnswer> pending_;
  int attaching_ = 0;  // subscribers again, unanswered

  std::thread thread_;
};

}  // namespace millrace
